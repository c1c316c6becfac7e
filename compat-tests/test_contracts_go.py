"""Contracts between Python and live Go: what is made from one side works at the other, byte for byte."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.contract_tasks import declare, drawn, for_go
from harness.generated_go import Probe, build, gofmt_diff, sources
from harness.redis_server import RedisServer
from seeds import FRESH_SEED

from gomachinery_py import Server, wire
from gomachinery_py.contracts.differences import Source, code_findings
from gomachinery_py.contracts.model import Contract, TaskContract
from gomachinery_py.contracts.of_python import contract_of
from gomachinery_py.contracts.reading import read_contract

VALUE_SETS = 6


@pytest.fixture(scope="module")
def server() -> Server:
    """Declares tasks of every kind."""
    server = Server("eager")
    declare(server)
    return server


@pytest.fixture(scope="module")
def contract(server: Server) -> Contract:
    """Of ``server``."""
    return contract_of(server, "python")


@pytest.fixture(scope="module")
def program(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is made of ``contract`` for v1 and v2, compiled."""
    return build(contract, tmp_path_factory.mktemp("generated"))


@pytest.fixture(params=["v1", "v2"])
def probe(request: Any, start: Callable[..., Any], program: Path) -> Iterator[Probe]:
    """The program at work."""
    probe: Probe = start(Probe, program, request.param)
    yield probe
    assert probe.alive, probe.log


def calls(contract: Contract, rng: random.Random) -> Iterator[tuple[str, list[Any]]]:
    """Random complete calls of every task."""
    for name, task in contract.tasks.items():
        for _ in range(VALUE_SETS):
            values = [drawn(parameter, rng) for parameter in task.fixed]
            if task.variadic is not None:
                values += [drawn(task.variadic, rng) for _ in range(rng.randrange(4))]
            yield name, values


def test_generated_code_is_as_gofmt_writes_it(contract: Contract, tmp_path: Path) -> None:
    """gofmt changes nothing."""
    assert gofmt_diff(sources(contract), tmp_path) == ""


def test_quotes_in_comments_are_as_gofmt_writes_them(tmp_path: Path) -> None:
    """gofmt would make typographic quotes of two in a row, also of those that are left of longer rows."""
    docs = ["''a''", "'''a'''", "''''", "`a```b````", "'`'`''`"]
    contract = Contract.of(TaskContract(f"task{number}", doc=doc) for number, doc in enumerate(docs))

    assert gofmt_diff(sources(contract), tmp_path) == ""


def test_messages_of_generated_producers(server: Server, contract: Contract, probe: Probe) -> None:
    """Go's message is ours, byte for byte, for hundreds of value sets of every type."""
    compared = 0
    for name, values in calls(contract, random.Random(FRESH_SEED)):
        ours = server.tasks[name].using(uuid="task_fixed").signature(*values)
        theirs = probe.ask("signature", name, for_go(contract, name, values))
        assert wire.encode_signature(ours).decode() == theirs, (name, values)
        compared += 1
    assert compared >= 400


def test_generated_senders(contract: Contract, probe: Probe, redis_server: RedisServer) -> None:
    """What Send… puts on a queue of a real Redis is what task.send puts there, but for the UUID."""
    calls_once = dict(calls(contract, random.Random(FRESH_SEED)))
    url = redis_server.url()
    with Server(url) as sending:
        declare(sending)
        for name, values in calls_once.items():
            probe.ask("send", name, for_go(contract, name, values))
            sending.tasks[name].send(*values)
    client = redis_server.client
    pairs = 0
    for queue in ("machinery_tasks", "billing"):
        waiting = [json.loads(body) | {"UUID": ""} for body in client.lrange(queue, 0, -1)]
        assert waiting[::2] == waiting[1::2]
        pairs += len(waiting) // 2
    assert pairs == len(contract.tasks)


def test_the_registry_skeleton(contract: Contract, probe: Probe) -> None:
    """It registers under the tasks' names, and Go reads from it the contract that it was made of."""
    assert sorted(contract.tasks) == sorted(probe.ask("register"))
    reread = read_contract(probe.ask("contract").encode(), "registry")
    findings = code_findings(contract, [Source.of("registry", reread)])
    # Reflection knows neither defaults nor options, and a task whose results only its values tell has none in Go.
    seen = {(finding.kind, finding.task) for finding in findings}
    unknown = {("results", name) for name, task in contract.tasks.items() if task.results is None}
    optional = {("arity", "billing.charge"), ("arity", "send-mail")}
    options = {("queue", "billing.charge"), ("options", "billing.charge"), ("options", "send-mail")}
    assert seen == unknown | optional | options
