"""A Go service's registry as a contract, and what Python makes of it: typed stubs that run against live Go workers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gobuild import HARNESS, binary, go
from harness.contract_tasks import drawn
from harness.go_worker import GoWorker
from harness.redis_server import RedisServer
from seeds import FRESH_SEED

from gomachinery_py import Server
from gomachinery_py.contracts.python_stubs import python_stubs
from gomachinery_py.contracts.reading import read_contract

HERE = Path(__file__).parent
USE = """
from __future__ import annotations

from typing import assert_type

from fleet import Tasks
from gomachinery_py import AsyncResult, Server

tasks = Tasks(Server("eager"))
assert_type(tasks.add.send(1, 2), AsyncResult[int])
assert_type(tasks.return_multiple_values.send("a", "b", False), AsyncResult[tuple[str, str]])
assert_type(tasks.noop.send(), AsyncResult[None])
assert_type(tasks.echo___uint8.send(b""), AsyncResult[bytes])
assert_type(tasks.echo___float32.send([1.5]).get(timeout=1), list[float])
tasks.sum.send([1, 2])
tasks.sum.send(["1"])  # type: ignore[list-item]
tasks.concat.send(1)  # type: ignore[arg-type]
"""


def written(about: dict[str, Any], served_by: str = "go") -> str:
    """What a Go program says of go-harness' tasks."""
    command = [str(binary("contract")), f"-served-by={served_by}"]
    done = subprocess.run(command, input=json.dumps(about), capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def exported() -> str:
    """What Python says of the same tasks."""
    command = [sys.executable, "-m", "gomachinery_py", "contract", "export", "python_tasks:server"]
    environment = {**os.environ, "GMPY_BROKER": "redis://localhost:6379"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module that is made from the contract of go-harness' registry."""
    path = tmp_path_factory.mktemp("stubs") / "fleet.py"
    path.write_text(python_stubs(read_contract(written({}).encode(), "go.yaml"), "go.yaml"), encoding="utf-8")
    (path.parent / "use.py").write_text(USE, encoding="utf-8")
    return path


def test_one_text_from_both_languages() -> None:
    """Go and Python write the same bytes of the same tasks, once Go is told what reflection does not know."""
    ours = exported()
    about = {
        task.name: {"Doc": task.doc, "Parameters": [parameter.name for parameter in task.parameters]}
        for task in read_contract(ours.encode(), "ours").tasks.values()
    }
    assert written(about, "python") == ours


@pytest.mark.parametrize(
    "checker",
    [("mypy", "--strict", "--warn-unused-ignores", "--config-file="), ("pyright", "--pythonpath", sys.executable)],
)
def test_stubs_are_typed(stubs: Path, checker: tuple[str, ...]) -> None:
    """mypy in its strict mode and pyright accept the stubs and their right use, and refuse the wrong one."""
    names = ["fleet.py", "use.py"]
    done = subprocess.run(
        [sys.executable, "-m", *checker, *names],
        cwd=stubs.parent,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_stubs_run(stubs: Path, redis_server: RedisServer, go_worker: Callable[..., GoWorker], version: str) -> None:
    """Every type goes to a Go worker and comes back as it was, by typed stubs alone."""
    contract = read_contract(written({}).encode(), "go.yaml")
    module = ModuleType("fleet_of_go")
    sys.modules[module.__name__] = module
    exec(compile(stubs.read_text(encoding="utf-8"), stubs, "exec"), module.__dict__)
    go_worker(version)
    rng = random.Random(FRESH_SEED)
    with Server(redis_server.url()) as server:
        tasks = module.Tasks(server)
        echoes = [name for name in contract.tasks if name.startswith("echo_")]
        sent = []
        for name in echoes:
            [parameter] = contract.tasks[name].parameters
            for _ in range(4):
                value = drawn(parameter, rng)
                sent.append((value, server.tasks[name].send(value)))
        assert [value for value, _ in sent] == [result.get(timeout=30) for _, result in sent]
        assert len(sent) == 4 * len(echoes) == 4 * 29
        all_of_them = contract.tasks["all_scalars"].parameters
        values = tuple(drawn(parameter, rng) for parameter in all_of_them)
        assert tasks.all_scalars.send(*values).get(timeout=30) == values
        assert tasks.add.send(1, 2, 3).get(timeout=30) == 6
        assert tasks.return_multiple_values.send("a", "b", False).get(timeout=30) == ("a", "b")
        assert tasks.noop.send().get(timeout=30) is None


def test_the_go_package() -> None:
    """Its own tests: what cannot be a task is refused by name."""
    done = subprocess.run(
        [go(), "test", "./..."], cwd=HARNESS.parent / "go" / "contract", capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
