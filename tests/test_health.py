"""Signs of life: what a worker writes, and what a probe makes of it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import gomachinery
from inprocess import FakeRedisPort, server_on

from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.health import FRESH_SECONDS, Report, forget_dead, read, reports

WELL = Report("w1:1:ab", os.getpid(), ["machinery_tasks"], True, 1, 2, 1000.0, 900.0)


def ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_well() -> None:
    """Alive, fresh and consuming; a probe for life does not ask for the last."""
    now = 1000.0
    assert WELL.problem(now) is None
    assert "process is gone" in str(dataclasses.replace(WELL, pid=ended_process()).problem(now))
    assert "no sign of life for 16 s" in str(WELL.problem(now + FRESH_SECONDS + 1))
    away = dataclasses.replace(WELL, consuming=False)
    assert "does not consume" in str(away.problem(now))
    assert away.problem(now, ready=False) is None


def test_only_files_of_ours_are_read(tmp_path: Path) -> None:
    """Broken files, links and other things are passed over."""
    WELL.write(str(tmp_path / "sub" / "1.json"))
    there = tmp_path / "sub"
    (there / "2.json").write_text("{", encoding="utf-8")
    (there / "3.json").write_text('{"pid": 1}', encoding="utf-8")
    (there / "4.json").symlink_to(there / "1.json")
    (there / "5.txt").write_text((there / "1.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert reports(str(there)) == [WELL]
    assert reports(str(tmp_path / "nowhere")) == []
    assert (there.stat().st_mode & 0o777) == 0o700


def test_a_worker_says_how_it_is(tmp_path: Path) -> None:
    """Ready while it consumes, not while the broker is away, and gone after an orderly end."""
    path = tmp_path / "w.json"
    port = FakeRedisPort()
    server = server_on(port)
    server.broker.lease = 30.0

    def report() -> Report:
        found = read(str(path))
        assert found is not None
        return found

    worker = server.worker("w1", 3, health_file=str(path))
    with worker:
        wait_for(path.exists)
        assert (report().worker, report().pid, report().queues) == (worker.name, os.getpid(), ["machinery_tasks"])
        assert report().problem(time.time()) is None
        answer, port.send = port.send, lambda requests: [ServiceUnavailable("away") for _ in requests]  # type: ignore[method-assign]
        wait_for(lambda: not report().consuming)
        assert report().problem(time.time(), ready=False) is None
        port.send = answer  # type: ignore[method-assign]
        wait_for(lambda: report().consuming)
    assert not path.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and the worker works."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    server = server_on(FakeRedisPort())
    server.broker.lease = 30.0
    ran = []

    @server.task
    def note() -> None:
        ran.append(1)

    with server.worker("w1", 3, health_file=str(tmp_path / "file" / "w.json")):
        note.send().get(timeout=10)
    assert ran == [1]
    assert caplog.text.count("know nothing of this worker") == 1


def test_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 when all that were asked for are well, 1 and a line for each that is not."""
    monkeypatch.setenv("GOMACHINERY_RUN_DIR", str(tmp_path))
    code, out, error = gomachinery("health")
    assert (code, out) == (1, "")
    assert "is it running?" in error

    dataclasses.replace(WELL, time=time.time()).write(str(tmp_path / "1.json"))
    assert gomachinery("health") == (0, "worker w1:1:ab: well, 1 running, 2 held\n", "")
    gone = ended_process()
    dataclasses.replace(WELL, worker="w2:2:cd", pid=gone).write(str(tmp_path / "2.json"))
    code, out, error = gomachinery("health")
    assert (code, out) == (1, "worker w1:1:ab: well, 1 running, 2 held\n")
    assert error == "worker w2:2:cd: its process is gone\n"
    assert gomachinery("health", "--worker", "w1")[0] == 0
    assert gomachinery("health", "--worker", str(gone))[0] == 1
    assert gomachinery("health", "--file", str(tmp_path / "1.json"), "--live")[0] == 0
    code, out, _ = gomachinery("health", "--json", "--worker", "w2")
    assert (code, json.loads(out)["problem"]) == (1, "its process is gone")


def test_the_next_worker_forgets_the_dead(tmp_path: Path) -> None:
    """Their files are removed, those of the living stay."""
    gone = ended_process()
    for report in (WELL, dataclasses.replace(WELL, pid=gone)):
        report.write(str(tmp_path / f"{report.pid}.json"))
    forget_dead(str(tmp_path))
    assert reports(str(tmp_path)) == [WELL]


def test_a_probe_imports_little() -> None:
    """No server, no client, no YAML: it has to answer at once."""
    code = (
        "import sys; from gomachinery_py.cli import cli; "
        "from gomachinery_py.cli.health import health; "
        "heavy = {'asyncio', 'yaml', 'msgspec', 'redis', 'rich', 'gomachinery_py.server', 'gomachinery_py.wire'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
