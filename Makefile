# Verbs for daily work. `make setup` once, then whatever you need.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo check setup lint types test compat docs fixtures bench bench-peers faults clean

demo: ## the main job on the embedded default
	scripts/demo

check: ## everything that CI runs
	scripts/check

setup: ## Python packages, redis-server, Go modules and binaries
	bash -c 'source scripts/environment && "$$BIN/python" -m pip install --quiet -e ".[all]" --group dev && source scripts/setup-tests'

docs: ## the site, in build/site
	$(BIN)/mkdocs build --strict

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types:
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

test: ## fast: no Go, no server
	$(BIN)/pytest tests -n 2 -q

compat: ## live Go and a real Redis
	$(BIN)/pytest compat-tests -n 2 --dist loadgroup -q

fixtures: ## write golden data and transcripts anew, by Go
	PYTHON=$(BIN)/python scripts/regenerate-fixtures

bench: ## ratios against Go, in one run
	$(BIN)/python -m benchmarks

bench-peers: ## Celery and dramatiq on the same job, installed for the run
	$(BIN)/python -m benchmarks.peers

faults: ## every fault test in its heavy form: an hour or two
	for name in simulation kills poison sleep drains redis network results hostile size chords move rabbitmq; do \
		$(BIN)/python -m benchmarks.faults $$name || exit 1; done

clean:
	rm -rf $(VENV) go-harness/bin .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
