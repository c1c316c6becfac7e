"""What workers say of themselves, and what ``gomachinery top`` makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from command_line import gomachinery
from docs_blocks import ROOT
from inprocess import FakeRedisPort, server_on
from rich.console import Console

from gomachinery_py import RetryTaskLater, Server
from gomachinery_py.cli import top as command
from gomachinery_py.cli.top_frame import Watch
from gomachinery_py.cli.top_view import view
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.fleet import Failure, Work, WorkerReport
from gomachinery_py.health import Report

QUEUE = "machinery_tasks"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def busy_server(port: FakeRedisPort) -> Server:
    server = server_on(port)
    # A worker gives a sign of life, and a report, three times a second.
    server._lease = server.broker.lease = 2.0
    tries: list[int] = []

    @server.task
    def fine() -> None:
        pass

    @server.task
    def fails(text: str) -> None:
        raise ValueError(text)

    @server.task
    def later() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RetryTaskLater("not yet", 1000)

    return server


def test_a_worker_reports() -> None:
    """How its runs ended, what it holds, and who failed; the report goes when it says nothing more."""
    port = FakeRedisPort()
    server = busy_server(port)
    port.redis.rpush(QUEUE, b"{broken")
    server.send_many(server.tasks["fine"], [()] * 20)
    server.tasks["fails"].using(uuid="task_1").send("one")
    server.tasks["fails"].using(uuid="task_2").send("two\x1b[2J")
    server.tasks["later"].send()
    with server.worker("w", 3) as worker:
        wait_for(lambda: port.redis.llen(f"{{{QUEUE}}}:gmpy:failures") == 2)

        def report() -> WorkerReport | None:
            [sign] = run(server.broker.workers(QUEUE))
            assert sign.name == worker.name
            assert sign.age < 30
            return sign.report and WorkerReport.read(sign.report)

        wait_for(lambda: (now := report()) and (now.done, now.failed, now.retried, now.dead) == (20, 2, 1, 1))
        last = report()
        assert last is not None
        assert (last.pid, last.concurrency, last.running, last.held) == (os.getpid(), 3, 0, 0)
        assert 0 < port.redis.ttl(f"{{{QUEUE}}}:gmpy:report:{worker.name}") <= 60
    failures = [Failure.read(document) for document in run(server.broker.failures(QUEUE))]
    assert [(each.uuid, each.name, each.error, each.worker) for each in failures if each] == [
        ("task_2", "fails", r"two\x1b[2J", worker.name),
        ("task_1", "fails", "one", worker.name),
    ]
    assert run(server.broker.workers(QUEUE)) == []
    assert port.redis.keys("*:report:*") == []


def test_failures_are_capped() -> None:
    """The last hundred, for a week; and those that could not be told at once are told later."""
    port = FakeRedisPort()
    server = busy_server(port)
    for number in range(30):
        run(server.broker.report(QUEUE, "w", b"{}", [b"%d" % (10 * number + at) for at in range(10)]))
    kept = run(server.broker.failures(QUEUE, 1000))
    assert (len(kept), kept[0], kept[-1]) == (100, b"299", b"200")
    assert 600_000 < port.redis.ttl(f"{{{QUEUE}}}:gmpy:failures") <= 604_800

    worker = server.worker("w", 1)
    worker._pump = _Pump()  # type: ignore[assignment]
    worker._engine.observers.failures.append((QUEUE, 1.0, "task_1", "fails", "x"))
    answer, port.send = port.send, lambda requests: [ServiceUnavailable("away") for _ in requests]  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable):
        worker._tell()
    port.send = answer  # type: ignore[method-assign]
    worker._tell()
    worker._tell()
    told, before = run(server.broker.failures(QUEUE, 2))
    assert (json.loads(told)["uuid"], before) == ("task_1", b"299")


class _Pump:
    counts = (0, 0)

    def held(self, _queue: str) -> list[Any]:
        return []


def test_rates() -> None:
    """Runs that ended, a second, since the report before."""
    work = Work(4)
    assert work.report("q", {("q", "SUCCESS"): 5, ("other", "SUCCESS"): 9}, 1, 2).per_second == 0
    work._last["q"] = (time.monotonic() - 10, 5)
    second = work.report("q", {("q", "SUCCESS"): 35, ("q", "FAILURE"): 10, ("q", "RETRY"): 10, ("q", "DEAD"): 7}, 1, 2)
    assert (second.done, second.failed, second.retried, second.dead) == (35, 10, 10, 7)
    assert 4.9 < second.per_second <= 5.0


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b"{}", b'{"time":"x"}', b"[" * 100_000, b"\xff"])
def test_documents_of_others(document: bytes) -> None:
    """Whatever lies there, it is no report."""
    assert (WorkerReport.read(document), Failure.read(document)) == (None, None)


def test_documents_of_later_versions() -> None:
    """What is new in them is passed over; what has another type is not believed."""
    failure = Failure(1.0, "w", "u", "n", "e")
    later = {**json.loads(failure.written()), "new": 1}
    assert Failure.read(json.dumps(later).encode()) == failure
    assert Failure.read(json.dumps({**later, "uuid": 7}).encode()) is None
    assert Failure.read(json.dumps({**later, "time": True}).encode()) is None


# -- frames --


def frames(embedded_url: str, *arguments: str) -> list[dict[str, Any]]:
    done = gomachinery("top", *arguments, "--once", "--json", "--broker", embedded_url)
    assert (done.code, done.error) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_frame(embedded_url: str) -> None:
    """All that is known of a queue, in the documented form."""
    with Server(embedded_url, default_queue="topped", lease=2) as server:

        @server.task
        def fails() -> None:
            raise ValueError("out of paper")

        server.task("fine")(lambda: None).using(countdown=3600).send()
        run(server.broker.bury_body("topped", b"x", "no JSON"))
        with server.worker("w", 2) as worker:
            fails.using(uuid="task_f").send()
            wait_for(lambda: run(server.broker.failures("topped")))
            wait_for(lambda: frames(embedded_url, "topped")[0]["workers"][0]["failed"] == 1)
            [frame] = frames(embedded_url, "topped")
        assert list(frame) == ["time", "error", "queues", "delayed", "workers", "failures", "dead_letters"]
        [queue] = frame["queues"]
        assert (queue["queue"], queue["waiting"], queue["inflight"], queue["dead"], queue["workers"]) == (
            "topped",
            0,
            0,
            1,
            1,
        )
        assert queue["per_second"] >= 0
        [row] = frame["workers"]
        assert (row["worker"], row["queues"], row["pid"], row["concurrency"]) == (
            worker.name,
            ["topped"],
            os.getpid(),
            2,
        )
        assert (row["done"], row["failed"], row["retried"], row["dead"]) == (0, 1, 0, 0)
        assert frame["delayed"]["count"] >= 1
        assert frame["delayed"]["next"] is not None
        [failure] = frame["failures"]
        assert (failure["uuid"], failure["name"], failure["error"]) == ("task_f", "fails", "out of paper")
        assert frame["dead_letters"] == [{"queue": "topped", "uuid": "", "name": "", "reason": "no JSON"}]


def test_the_documented_fields(embedded_url: str) -> None:
    """docs/operations.md names every field of a frame, and no other."""
    with Server(embedded_url, default_queue="documented") as server:
        run(server.broker.beat("documented", "w"))
        report = Work(4).report("documented", {}, 1, 2).written()
        run(server.broker.report("documented", "w", report, [Failure(1.0, "w", "u", "n", "e").written()]))
        run(server.broker.bury_body("documented", b"x", "no JSON"))
        [frame] = frames(embedded_url, "documented")
    found = {name for name in frame if not isinstance(frame[name], list | dict)}
    for section, rows in frame.items():
        if isinstance(rows, list):
            found |= {f"{section}[].{name}" for name in rows[0]}
        elif isinstance(rows, dict):
            found |= {f"{section}.{name}" for name in rows}

    documented = set()
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for row in page[page.index("`--json` is one object") :].split("\n## ")[0].splitlines():
        section = ""
        for name in re.findall(r"`([\w.\[\]]+)`", row.split("|")[1]) if row.startswith("| `") else ():
            section = name.rpartition(".")[0] or section
            documented.add(f"{section}{name}" if name.startswith(".") else name)
    assert found == documented


def test_two_looks(embedded_url: str) -> None:
    """The change of a queue's length; a worker of two queues is one row; large dead letters are read once."""
    with Server(embedded_url) as server:
        broker = server.broker
        for queue in ("two_a", "two_b"):
            run(broker.beat(queue, "w"))
            report = Work(4).report(queue, {(queue, "SUCCESS"): 3}, 1, 2)
            run(broker.report(queue, "w", report.written(), []))
        run(broker.bury_body("two_a", b"x", "old"))
        watch = Watch(server, ["two_a", "two_b"])
        first = watch.look()
        run(broker.port.execute(("RPUSH", "two_a", "x", "y")))
        asked: list[Any] = []
        broker.port.observer = asked.append
        second = watch.look()
        broker.port.observer = None
    assert [queue["waiting_per_second"] for queue in first["queues"]] == [None, None]
    assert second["queues"][0]["waiting_per_second"] > 0
    assert [(row["worker"], row["queues"], row["done"], row["running"], row["held"]) for row in second["workers"]] == [
        ("w", ["two_a", "two_b"], 6, 1, 4)
    ]
    assert [letter["reason"] for letter in second["dead_letters"]] == ["old"]
    assert [each for each in asked if "dead" in str(each[1]) and each[0] == "LRANGE"] == []


def test_what_a_broker_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """ "-", and of workers those that are on this machine."""
    monkeypatch.setenv("GOMACHINERY_RUN_DIR", str(tmp_path))
    Report("w:1", os.getpid(), ["q"], True, 1, 2, time.time(), 900.0).write(str(tmp_path / "1.json"))
    frame = Watch(Server("eager"), []).look()
    assert (frame["queues"], frame["delayed"], frame["failures"]) == ([], {"count": None, "next": None}, [])

    class Refuses(FakeRedisPort):
        def _run(self, command: Any) -> Any:
            return ServiceError("no permission") if command[0] != "LLEN" else super()._run(command)

    frame = Watch(server_on(Refuses()), [QUEUE]).look()
    assert frame["queues"] == []
    shown = text(frame)
    assert "delayed -" in shown


def text(frame: dict[str, Any]) -> str:
    console = Console(file=StringIO(), width=200, highlight=False)
    console.print(view(frame, "redis://here"))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_foreign_text_steers_nothing() -> None:
    """Names and errors are made printable, and are no markup."""
    port = FakeRedisPort()
    server = server_on(port)
    queue = "q[red]\x1b[2J"
    hostile = "[bold]\x1b]0;x\x07\u202e"
    run(server.broker.beat(queue, hostile))
    failure = Failure(1e300, hostile, hostile, hostile, hostile * 100)
    run(server.broker.report(queue, hostile, b"garbage", [b"garbage", failure.written()]))
    run(server.broker.bury_body(queue, b"{}", hostile))
    shown = text(Watch(server, [queue]).look())
    assert [line for line in shown.splitlines() if not line.isprintable()] == []
    assert "[bold]" in shown
    assert "q[red]" in shown


def test_a_broker_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames go on, and say so, until it is back."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    port = FakeRedisPort()
    server = server_on(port)
    going = command._frames(Watch(server, [QUEUE]), 1.0, False)
    assert next(going)["error"] is None
    answer, port.send = port.send, lambda requests: [ServiceUnavailable("cannot reach it.") for _ in requests]  # type: ignore[method-assign]
    lost = next(going)
    port.send = answer  # type: ignore[method-assign]
    back = next(going)
    assert (lost["error"], list(lost), back["error"]) == ("cannot reach it. Trying again.", list(lost), None)
    assert set(lost) == set(back)
    assert "Trying again" in text(lost)


def test_ends_well(embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it with 0."""

    def interrupted(_frames: Iterator[Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    done = gomachinery("top", "--json", "--broker", embedded_url)
    assert (done.code, done.out.count("\n"), done.error) == (0, 1, "")
    shown = gomachinery("top", "--once", "--broker", embedded_url)
    assert (shown.code, "waiting" in shown.out) == (0, True)
    with contextlib.suppress(ValueError):
        json.loads(shown.out)
        raise AssertionError("this is no JSON")
