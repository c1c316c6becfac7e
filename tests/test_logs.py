"""Log lines about a task say which one: the package's own, and what the task function writes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from command_line import process
from inprocess import FakeRedisPort, server_on

from gomachinery_py import Arg, Server, Signature
from gomachinery_py.cli.logs import set_up_logging
from gomachinery_py.demo.embedded import EmbeddedRedis
from gomachinery_py.logs import TaskFields

theirs = logging.getLogger("somebody.elses")


@contextlib.contextmanager
def logged(level: str, style: str) -> Iterator[io.StringIO]:
    """What is written to standard error."""
    root, own = logging.getLogger(), logging.getLogger("gomachinery_py")
    handlers, before = root.handlers[:], own.level
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        set_up_logging(level, style)
        try:
            yield stream
        finally:
            root.handlers[:] = handlers
            own.setLevel(before)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def busy_server() -> Server:
    """A server whose tasks log, in every way that a task can run."""
    server = server_on(FakeRedisPort())
    server.broker.lease = 30.0

    @server.task
    def plain(mark: str) -> None:
        theirs.warning("plain %s", mark)

    @server.task
    async def waits(mark: str) -> None:
        theirs.warning("before %s", mark)
        await asyncio.sleep(0.01)
        theirs.warning("after %s", mark)
        await asyncio.to_thread(theirs.warning, "beside %s", mark)

    @server.task
    def fails(mark: str) -> None:
        raise ValueError(mark)

    return server


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_fields() -> None:
    """Fields of their own, whichever thread or coroutine writes, and however many run at once."""
    server = busy_server()
    with logged("debug", "json") as written, server.worker("w", 8) as worker:
        sent = {f"{name}-{turn}": name for name in ("plain", "waits", "fails") for turn in range(8)}
        results = [server.tasks[name].using(uuid=f"task_{mark}").send(mark) for mark, name in sent.items()]
        for result in results:
            with contextlib.suppress(Exception):
                result.get(timeout=30)
        worker.stop()
    about = [line for line in lines(written) if "task_uuid" in line]
    for line in about:
        assert (line["task_name"], line["queue"]) == (sent[line["task_uuid"][5:]], "machinery_tasks"), line
    own = [line for line in about if line["logger"].startswith("gomachinery_py")]
    user = [line for line in about if line["logger"] == "somebody.elses"]
    assert sorted(line["message"] for line in user) == sorted(
        f"{kind} {mark}"
        for mark, name in sent.items()
        for kind in {"plain": ["plain"], "waits": ["before", "after", "beside"], "fails": []}[name]
    )
    assert [line for line in user if not line["message"].endswith(line["task_uuid"][5:])] == []
    texts = [
        re.sub(r"[\d.]+ s$|\d+(?= fails)", "…", line["message"]) for line in own if line["task_uuid"] == "task_fails-3"
    ]
    assert texts == [
        "task task_fails-3 (fails) begins",
        "task task_fails-3 (fails) raised ValueError after …",
        "task task_fails-3 (fails) failed: ValueError: fails-3 (test_logs.py:… fails)",
    ]


def test_text_suffix() -> None:
    """The same at the end of a line of text; lines about no task have nothing there."""
    server = busy_server()
    with logged("info", "text") as written, server.worker("w", 1) as worker:
        with contextlib.suppress(Exception):
            server.tasks["fails"].using(uuid="task_1").send("x").get(timeout=30)
        worker.stop()
    first, failed, drained, *_ = written.getvalue().splitlines()
    assert re.sub(r":\d+ fails", ":… fails", failed).endswith(
        "ERROR task task_1 (fails) failed: ValueError: x (test_logs.py:… fails) "
        "[task_uuid=task_1 task_name=fails queue=machinery_tasks]"
    )
    assert "begins" not in written.getvalue()
    assert [line for line in (first, drained) if line.endswith("]")] == []


def _below(text: str) -> None:
    raise LookupError(text)


def test_where_a_failure_comes_from() -> None:
    """The line names user code alone, innermost first; a result that does not fit has no place, its text says it."""
    server = busy_server()

    @server.task
    def deep(text: str) -> int:
        return _below(text) or 0

    @server.task
    def wrong() -> int:
        return "no"  # type: ignore[return-value]

    with logged("info", "text") as written, server.worker("w", 1) as worker:
        for signature in (deep.s("no order"), wrong.s(), deep.using(retries=1).s("again")):
            with contextlib.suppress(Exception):
                server.send_task(signature).get(timeout=1)
        worker.stop()
    told = [
        re.sub(r"(\.py):\d+", r"\1:…", line.partition(" [task_uuid")[0]) for line in written.getvalue().splitlines()
    ]
    told = [line.partition(" failed")[2] for line in told if " failed" in line]
    assert told[:3] == [
        ": LookupError: no order (test_logs.py:… _below < test_logs.py:… deep)",
        ": wrong() result 1: must be an integer for int64, not str",
        ", next try in 1 s: LookupError: again (test_logs.py:… _below < test_logs.py:… deep)",
    ]


def test_a_traceback_at_debug_is_bounded() -> None:
    """The whole of it, but not the whole text of an exception, which may be of any size."""
    server = busy_server()
    with logged("debug", "json") as written, server.worker("w", 1) as worker:
        for mark in ("x" * 1_000_000, "x\n" * 100_000):
            with contextlib.suppress(Exception):
                server.tasks["fails"].send(mark).get(timeout=30)
        worker.stop()
    wide, long = (line["exception"] for line in lines(written) if "exception" in line)
    assert wide.startswith("Traceback (most recent call last):")
    assert ", in fails\n    raise ValueError(mark)\nValueError: xxx" in wide
    assert wide.endswith("xxx…")
    assert re.search(r"\nx\n… \(1000\d\d lines\)$", long)
    assert (len(wide) < 5_000, len(long) < 5_000) == (True, True)


def test_what_cannot_run() -> None:
    """Dead letters and strangers too; of what cannot be decoded there is only the queue to tell."""
    port = FakeRedisPort()
    server = server_on(port)
    server.broker.lease = 30.0
    port.redis.rpush("machinery_tasks", b"{broken", b'{"UUID":"task_2","Name":"stranger","RetryTimeout":-1}')
    server.send_task(Signature("unknown", uuid="task_3"))
    with logged("info", "json") as written, server.worker("w", 1):
        wait_for(lambda: written.getvalue().count("\n") >= 4)
    found = [(line.get("task_uuid"), line.get("task_name"), line.get("queue")) for line in lines(written)]
    queue = "machinery_tasks"
    assert (None, None, queue) in found
    assert ("task_2", "stranger", queue) in found
    assert ("task_3", "unknown", queue) in found


def test_what_others_write_is_harmless() -> None:
    """Names that would steer a terminal or fill the log are made safe, in both styles."""
    server = busy_server()
    signature = Signature("\x1b[2J" + "n" * 1000, uuid="task_\n")
    server.send_task(signature)
    with logged("info", "text") as written, server.worker("w", 1):
        wait_for(lambda: "not registered" in written.getvalue())
    line = next(line for line in written.getvalue().splitlines() if "not registered" in line)
    assert (r"task_uuid=task_\n task_name=\x1b[2J" in line, len(line) < 1000) == (True, True), line


def test_your_own_handler() -> None:
    """A program that sets up logging itself puts the filter on its handler."""
    server = busy_server()
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    handler.addFilter(TaskFields())
    theirs.addHandler(handler)
    try:
        with server.worker("w", 1):
            server.tasks["plain"].using(uuid="task_4").send("x").get(timeout=30)
        theirs.warning("outside")
    finally:
        theirs.removeHandler(handler)
    assert [(getattr(each, "task_uuid", None), getattr(each, "queue", None)) for each in records] == [
        ("task_4", "machinery_tasks"),
        (None, None),
    ]


def test_the_command_line(tmp_path: Path) -> None:
    """``worker --log-format json`` shows what tasks log from its level on, without any set-up in the app."""
    (tmp_path / "app.py").write_text(
        "import logging\n"
        "from gomachinery_py import Server\n"
        "server = Server('eager')\n"
        "@server.task\n"
        "def says(text: str) -> None:\n"
        "    logging.getLogger(__name__).info(text)\n",
        encoding="utf-8",
    )
    with EmbeddedRedis() as redis:
        options = ("-c", "1", "--broker", redis.url, "--log-format", "json")
        with process("worker", "app:server", *options, cwd=tmp_path) as child:
            try:
                result = Server(redis.url).send_task(Signature("says", uuid="task_5", args=[Arg("string", "hello")]))
                result.get(timeout=60)
            finally:
                child.terminate()
            _, error = child.communicate(timeout=60)
    found = [json.loads(line) for line in error.decode().splitlines()]
    said = [line for line in found if line["logger"] == "app"]
    assert [(line["message"], line["task_uuid"], line["task_name"], line["queue"]) for line in said] == [
        ("hello", "task_5", "says", "machinery_tasks")
    ]
