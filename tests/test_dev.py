"""``gomachinery dev`` without Go: the demo, the embedded Redis, and joining in."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from command_line import Done, finished, gomachinery, process

from gomachinery_py import Arg, Server, Signature
from gomachinery_py.demo import go_side, workflow
from gomachinery_py.demo.embedded import EmbeddedRedis
from gomachinery_py.demo.show import Show
from gomachinery_py.redis_scripts import SCRIPTS

RESULTS = {
    "sum([1, …, 10])": "55",
    "chain: add(2, 2) → add(5, 6) → multiply(4)": "60",
    "chord: add(1, 1), add(2, 2), add(5, 6) → multiply": "88",
    "a task that fails once and is retried after 1 s": "done with 1 retry left",
}
OWN = """
from gomachinery_py import Server
server = Server("redis://127.0.0.1:1", default_queue="own_tasks")

@server.task
def add(text: str) -> str:
    return f"my own {text}"

@server.task(queue="far")
def far() -> str:
    return "from far away"
"""


class Dev:
    """A running ``gomachinery dev`` whose demo is over."""

    def __init__(self, *options: str, cwd: Path | None = None) -> None:
        self.child = process("dev", "--no-go", *options, cwd=cwd)
        assert self.child.stdout is not None
        self.shown = ""
        while "Ctrl-C ends it" not in self.shown:
            line = self.child.stdout.readline()
            assert line, self.shown
            self.shown += line.decode()
        found = re.search(r"redis://127\.0\.0\.1:(\d+)", self.shown)
        assert found is not None
        self.url, self.port = found[0], int(found[1])

    def cpu_seconds(self) -> float:
        """Processor time that it has taken."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def ended_by(self, number: int) -> Done:
        """Its end after a signal."""
        self.child.send_signal(number)
        out, error = self.child.communicate(timeout=20)
        return Done(self.child.returncode, out.decode(), error.decode())


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """With an app of its own, which has a task of the demo's name."""
    directory = tmp_path_factory.mktemp("own")
    (directory / "own.py").write_text(OWN)
    dev = Dev("own:server", cwd=directory)
    yield dev
    if dev.child.poll() is None:
        dev.ended_by(signal.SIGTERM)


def test_once_shows_the_main_job(tmp_path: Path) -> None:
    """The results that README promises, with exit code 0 and in well under a minute; a missing Go gets a word."""
    started = time.monotonic()
    code, out, error = finished("dev", "--once", env={"PATH": str(tmp_path)})
    assert (code, error, time.monotonic() - started < 30) == (0, "", True), out
    assert out.splitlines()[-1] == "Go's side is left out: there is no go command on this machine"
    shown = {line[4:56].strip(): line[57:].rpartition("  (")[0] for line in out.splitlines() if line.startswith("  ✓")}
    late = shown.pop("a task held back for 1 s")
    assert shown == RESULTS
    assert re.fullmatch(r"ran \d+ ms late", late)
    assert "✗" not in out


def test_the_app_is_served_beside_the_demo(dev: Dev) -> None:
    """Its own add does not get into the demo's way, nor the demo's into its own."""
    assert dev.shown.count("✓") == len(RESULTS) + 1
    assert "Your app's tasks (2) are served from own_tasks." in dev.shown
    options = ("--wait", "20", "--broker", dev.url)
    assert gomachinery("send", "add", "string:text", "--queue", "own_tasks", *options).out == "my own text\n"
    assert gomachinery("send", "far", "--queue", "far", *options).out == "from far away\n"


def test_the_lines_to_join_in_are_right(dev: Dev) -> None:
    """As printed: the shell's and Python's."""
    shell = re.search(r"shell +gomachinery (.*)", dev.shown)
    python = re.search(r"Python +(.*)", dev.shown)
    assert shell is not None
    assert python is not None
    assert gomachinery(*shell[1].split()) == Done(0, "3\n", "")
    assert eval(python[1], {"Server": Server, "Signature": Signature, "Arg": Arg}) == 3
    assert f'Broker: "{dev.url}"' in dev.shown


def test_it_idles_quietly(dev: Dev) -> None:
    """Waiting for tasks costs next to nothing; fakeredis' BLMOVE alone would make a worker spin."""
    before = dev.cpu_seconds()
    time.sleep(1.5)
    assert dev.cpu_seconds() - before < 0.45


def test_ctrl_c_ends_it() -> None:
    """With exit code 0 and no word of complaint, also at the first moment; nothing listens any more."""
    dev = Dev()
    assert dev.ended_by(signal.SIGINT) == Done(0, "", "")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", dev.port)) != 0


def test_a_port_that_is_taken() -> None:
    """Exit code 2 and the remedy."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = finished("dev", "--once", "--no-go", "--port", str(port))
    text = f"gomachinery: port {port} cannot be used: Address already in use; give another --port\n"
    assert done == Done(2, "", text)


@pytest.mark.parametrize("wrong", [lambda: 54, lambda: 1 // 0], ids=["a wrong result", "an error"])
def test_a_wrong_result_is_seen(wrong: object, capsys: pytest.CaptureFixture[str]) -> None:
    """It is marked, and it decides the exit code."""
    show = Show()
    show.step(workflow.Step("right", lambda: 55, lambda value: value == 55))
    assert show.all_right is True
    show.step(workflow.Step("wrong", wrong, lambda value: value == 55))  # type: ignore[arg-type]
    show.step(workflow.Step("right", lambda: 55, lambda value: value == 55))
    assert show.all_right is False
    assert [line[2] for line in capsys.readouterr().out.splitlines()] == ["✓", "✗", "✓"]


def test_sigterm_ends_it_as_well(dev: Dev) -> None:
    """As a process manager does it; with an app served, too."""
    assert dev.ended_by(signal.SIGTERM) == Done(0, "", "")


def living_groups() -> Iterator[str]:
    """The group of every process that has not ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                yield group


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first >&2; echo 'module is not there' >&2; exit 1", "go build: module is not there"),
        ("exit 3", "go build: exit code 3"),
        ("sleep 60", "it was not built within 0.3 s; what was built is kept, so the next time is faster"),
    ],
)
def test_go_that_does_not_build_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    """One line, soon, and no process stays behind."""
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{script}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    started = time.monotonic()
    with pytest.raises(go_side.GoUnavailable) as raised:
        go_side._build("worker", seconds=0.3 if "sleep" in script else 20)
    assert (str(raised.value), time.monotonic() - started < 20) == (reason, True)
    group = (tmp_path / "pid").read_text().strip()
    while any(process_group == group for process_group in living_groups()):
        assert time.monotonic() - started < 20
        time.sleep(0.05)


class TestEmbeddedRedis:
    """What clients rely on and fakeredis alone does not do."""

    @pytest.fixture
    def client(self, embedded_url: str) -> Iterator[redis.Redis]:
        """A client of the embedded Redis."""
        with redis.Redis.from_url(embedded_url) as client:
            yield client

    def test_long_values_travel(self, client: redis.Redis) -> None:
        """In both directions, whatever is in them."""
        value = b"\r\n\x00\xff" * (2 << 20)
        client.set("long", value)
        assert client.get("long") == value

    def test_a_connection_outlives_an_error(self, client: redis.Redis) -> None:
        """An error is an answer."""
        connection = client.connection_pool.get_connection()
        client.connection_pool.release(connection)
        with pytest.raises(redis.ResponseError):
            client.execute_command("NO SUCH COMMAND")
        assert client.ping()
        assert client.connection_pool.get_connection() is connection
        client.connection_pool.release(connection)

    @pytest.mark.parametrize(
        "push", [("RPUSH", "blocked", "x"), ("EVAL", "return redis.call('RPUSH', KEYS[1], 'x')", 1, "blocked")]
    )
    def test_blmove_waits(self, client: redis.Redis, embedded_url: str, push: tuple[object, ...]) -> None:
        """For its time when there is nothing, and not longer than until something comes."""
        started = time.monotonic()
        assert client.execute_command("BLMOVE", "blocked", "taken", "LEFT", "RIGHT", 0.3) is None
        assert 0.25 < time.monotonic() - started < 3
        with redis.Redis.from_url(embedded_url) as waiting:
            connection = waiting.connection_pool.get_connection()
            connection.send_command("BLMOVE", "blocked", "taken", "LEFT", "RIGHT", 10)
            time.sleep(0.1)
            started = time.monotonic()
            client.execute_command(*push)
            assert connection.read_response() == b"x"
            assert time.monotonic() - started < 3
            waiting.connection_pool.release(connection)

    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda text: text.split("\n")[0][:40])
    def test_our_scripts_compile(self, client: redis.Redis, script: str) -> None:
        """Its Lua takes them."""
        assert len(client.execute_command("SCRIPT LOAD", script)) == 40

    def test_it_ends_with_clients_connected(self) -> None:
        """A client that stays holds nothing up, and the port is free afterwards."""
        with EmbeddedRedis() as first:
            client = redis.Redis(port=first.port)
            client.ping()
        with EmbeddedRedis(first.port) as second:
            assert second.port == first.port
        client.close()
