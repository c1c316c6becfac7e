"""Every fenced block of README.md and of the documentation is run, parsed or accounted for."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_blocks import ROOT, Block, blocks, page_of
from docs_shell import check_gomachinery, check_script

from gomachinery_py import Config
from gomachinery_py.cli.errors import USAGE
from gomachinery_py.demo.embedded import EmbeddedRedis
from gomachinery_py.wire import decode_signature

BLOCKS = blocks()
# What is run elsewhere: the tutorial's transcripts and its file by test_first_minutes.py, its Go worker by
# compat-tests/test_docs_go.py; the messages and transcripts of docs/wire-tools.md by test_diagnosis_cli.py; the page on
# contracts by test_docs_contracts.py and compat-tests/test_docs_contracts_go.py.
WIRE = {"json written.json": 10, "text written.json": 2, "json better.json": 6, "console wire": 12}
CONTRACTS = {
    "console contracts": 8,
    "python billing.py": 1,
    "python use.py": 1,
    "go contract": 1,
    "go use": 1,
    "text go.machinery.yaml": 1,
}
ELSEWHERE = Counter({"console": 8, "python app.py": 1, "go": 1, **WIRE, **CONTRACTS})
# Files of the guides, run from end to end by compat-tests/test_guides.py.
GUIDE_FILE = re.compile(r"(python|go) \w+\.(py|go)")
RUN = {"python", "python test", "sh", "yaml", "yaml kubernetes", "ini", "json"}
# Compared with what they are made from by test_docs_generated.py.
GENERATED = {"docs/cli.md"}


def of(info: str) -> list[Block]:
    return [block for block in BLOCKS if block.info == info]


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    """No block is passed over: each is run or parsed, here or where ELSEWHERE says."""
    others = Counter(
        block.info
        for block in BLOCKS
        if block.info not in RUN and block.page not in GENERATED and not _is_of_a_guide(block)
    )

    assert ELSEWHERE == others, [str(block) for block in BLOCKS if block.info not in RUN]


def _is_of_a_guide(block: Block) -> bool:
    return block.page.startswith("docs/guides/") and GUIDE_FILE.fullmatch(block.info) is not None


@pytest.mark.parametrize("page", sorted({block.page for block in of("python")}))
def test_python(page: str) -> None:
    """The Python of a page runs from top to bottom, and its comments state what comes out."""
    with EmbeddedRedis() as redis, page_of(redis.url) as here:
        for block in of("python"):
            if block.page == page:
                here.run(block)


@pytest.mark.parametrize("block", of("python test"), ids=str)
def test_tests(block: Block, tmp_path: Path) -> None:
    """Tests on a page pass in a pytest of their own."""
    (tmp_path / "test_page.py").write_text(block.text, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )

    assert done.returncode == 0, done.stdout
    assert f"{block.text.count('def test_')} passed" in done.stdout


def test_benchmark_tables() -> None:
    """The figures of docs/benchmarks.md are those of README.md."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = readme[readme.index("## Measured") :].split("\n## ", 1)[0]
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")

    figures = [line for line in measured.splitlines() if line.startswith("|")]

    assert figures == [line for line in page.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_shell(block: Block, tmp_path: Path) -> None:
    """Each command is one: verbs, options and values of ours are as they are written."""
    files = [other.info.split()[1] for other in BLOCKS if other.page == block.page and _is_of_a_guide(other)]
    for name in ("config.yml", "message.json", "orders.jsonl", "app.py", *files):
        (tmp_path / name).touch()

    assert check_script(block.text, tmp_path) > 0


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml(block: Block) -> None:
    """A configuration has no key that Machinery does not know."""
    config = Config.from_yaml(block.text.encode(), strict=True)

    assert config.names_given() != frozenset()
    assert config.warnings == []


@pytest.mark.parametrize("block", of("yaml kubernetes"), ids=str)
def test_kubernetes(block: Block, tmp_path: Path) -> None:
    """Each document is one of Kubernetes, and each command in it is one of ours."""
    documents = list(yaml.safe_load_all(block.text))

    assert [set(document) & {"apiVersion", "kind", "metadata"} for document in documents] == [
        {"apiVersion", "kind", "metadata"}
    ] * len(documents)
    commands = [command for document in documents for command in _commands_in(document)]
    assert len(commands) == 3
    for program, *arguments in commands:
        assert program == "gomachinery"
        check_gomachinery(arguments, tmp_path)


def _commands_in(node: Any) -> Iterator[list[str]]:
    if isinstance(node, dict):
        if isinstance(node.get("command"), list):
            yield node["command"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _commands_in(item)


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_systemd(block: Block, tmp_path: Path) -> None:
    """A unit of three sections that starts a command of ours, and does not start a wrong one again and again."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block.text)

    assert unit.sections() == ["Unit", "Service", "Install"]
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "gomachinery"
    check_gomachinery(arguments, tmp_path)
    assert int(unit["Service"]["RestartPreventExitStatus"]) == USAGE


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json(block: Block) -> None:
    """It is a task that Machinery can read."""
    assert decode_signature(block.text.encode()).name != ""
