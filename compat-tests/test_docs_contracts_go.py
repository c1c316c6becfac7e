"""The Go code of docs/contracts.md works as it stands there, and what Python makes of its contract runs against Go."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gobuild import BUILD_SECONDS, HARNESS, go
from harness.go_worker import GoWorker
from harness.process import Process
from harness.redis_server import RedisServer

ROOT = HARNESS.parent
PAGE = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
URL = "redis://localhost:6379"


def block(info: str) -> str:
    """The page's one block of this kind."""
    [text] = re.findall(rf"^```{re.escape(info)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def run(arguments: list[str], cwd: Path) -> str:
    """What a program writes; its own words when it fails."""
    environment = {**os.environ, "CGO_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def gomachinery(*arguments: str, cwd: Path) -> str:
    """What a command writes."""
    return run([sys.executable, "-m", "gomachinery_py", *arguments], cwd)


@pytest.fixture
def directory(tmp_path: Path, redis_server: RedisServer) -> Path:
    """The page's files, on a real Redis."""
    (tmp_path / "billing.py").write_text(block("python billing.py").replace(URL, redis_server.url()), encoding="utf-8")
    (tmp_path / "use.py").write_text(block("python use.py"), encoding="utf-8")
    return tmp_path


def test_the_contract_of_the_go_service(tmp_path: Path) -> None:
    """It is what the page says."""
    (tmp_path / "main.go").write_text(block("go contract"), encoding="utf-8")
    assert run([go(), "run", str(tmp_path / "main.go")], HARNESS) == block("text go.machinery.yaml")


def test_the_go_package_in_a_module_of_its_own(tmp_path: Path) -> None:
    """A service takes the package in with a copy and the page's commands, and needs nothing else."""
    shutil.copytree(ROOT / "go" / "contract", tmp_path / "third_party" / "contract")
    (tmp_path / "main.go").write_text(block("go contract"), encoding="utf-8")
    run([go(), "mod", "init", "example.com/service"], tmp_path)
    for command in block("sh").splitlines():
        run([go(), *command.split()[1:]], tmp_path)

    assert run([go(), "run", "-mod=readonly", "."], tmp_path) == block("text go.machinery.yaml")


def test_python_stubs_against_go(directory: Path, go_worker: Callable[..., GoWorker]) -> None:
    """The page's own use of them, with a Go worker that serves the task."""
    (directory / "go.yaml").write_text(block("text go.machinery.yaml"), encoding="utf-8")
    gomachinery("contract", "python", "go.yaml", "-o", "fleet.py", cwd=directory)
    go_worker("v1")
    assert run([sys.executable, "use.py"], directory) == "AB\n"


def test_the_go_producer_against_python(directory: Path, redis_server: RedisServer) -> None:
    """The page's program, built with what is made of the exported contract, gets the results of a Python worker."""
    gomachinery("contract", "export", "billing:server", "-o", "tasks.yaml", cwd=directory)
    options = ("--package", "fleet", "--machinery", "v1", "-o", "fleet.go")
    gomachinery("contract", "go", "tasks.yaml", *options, cwd=directory)
    own = "gomachinery.example/go-harness/generated/fleet"
    source = block("go use").replace("example.com/service/fleet", own).replace(URL, redis_server.url())
    (directory / "main.go").write_text(source, encoding="utf-8")
    overlay = {
        str(HARNESS / "generated" / "main.go"): str(directory / "main.go"),
        str(HARNESS / "generated" / "fleet" / "fleet.go"): str(directory / "fleet.go"),
    }
    (directory / "overlay.json").write_text(json.dumps({"Replace": overlay}), encoding="utf-8")
    program = str(directory / "program")
    run([go(), "build", "-overlay", str(directory / "overlay.json"), "-o", program, "./generated"], HARNESS)
    command = [sys.executable, "-m", "gomachinery_py", "worker", "billing:server", "-q", "billing"]
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{directory}"}
    worker = Process(command, name="billing", directory=directory, env=paths)
    try:
        assert run([program], directory).splitlines()[-1] == "invoice of Ada 0", worker.log
    finally:
        worker.kill()
