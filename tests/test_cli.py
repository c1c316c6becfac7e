"""The command line, on an embedded Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomachinery_py import Server, Signature, wire
from gomachinery_py.cli.tasks import parse_argument
from gomachinery_py.demo.embedded import EmbeddedRedis

APP = """
from gomachinery_py import Server
server = Server("redis://127.0.0.1:1")
other = 5

@server.task
def add(*numbers: int) -> int:
    return sum(numbers)

@server.task
def fail(text: str) -> None:
    raise ValueError(text)

@server.task(queue="elsewhere")
def far() -> None:
    return
"""


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with EmbeddedRedis() as redis:
        yield redis.url


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def gomachinery(
    *arguments: str, cwd: Path | None = None, stdin: bytes = b"", env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    environment = {name: value for name, value in os.environ.items() if name not in ("BROKER", "RESULT_BACKEND")}
    done = subprocess.run(
        [sys.executable, "-m", "gomachinery_py", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**environment, **(env or {})},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def worker(app: Path, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "gomachinery_py", "worker", "app:server", "-c", "2", "--broker", redis_url]
    process = subprocess.Popen(command, cwd=app, stderr=subprocess.PIPE)
    yield process
    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.usefixtures("worker")
def test_send_wait_and_result(redis_url: str) -> None:
    """A typed task sent from the shell runs, and its result can be read again."""
    code, out, _ = gomachinery("send", "add", "int64:1", "2", "--wait", "20", "--json", "--broker", redis_url)
    state = json.loads(out)
    assert (code, state["state"], state["results"]) == (0, "SUCCESS", [{"type": "int64", "value": 3}])
    assert gomachinery("result", state["uuid"], "--broker", redis_url)[:2] == (0, "3\n")


@pytest.mark.usefixtures("worker")
def test_a_failed_task_is_exit_code_1(redis_url: str) -> None:
    """The stored text goes to standard error."""
    code, _, error = gomachinery("send", "fail", "string:no such luck", "--wait", "20", "--broker", redis_url)
    assert (code, error) == (1, "FAILURE: no such luck\n")


def test_worker_drains_on_sigterm(app: Path, redis_url: str) -> None:
    """Exit code 0, and a word about tasks whose queue it does not consume."""
    command = [sys.executable, "-m", "gomachinery_py", "worker", "app:server", "--broker", redis_url]
    process = subprocess.Popen(command, cwd=app, stderr=subprocess.PIPE)
    assert process.stderr is not None
    seen = b""
    while b"at once, from" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.terminate()
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"'elsewhere', which this worker does not consume" in seen
    assert b"drained" in rest


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere:server", "there is no module 'nowhere'"),
        ("app:missing", "has no attribute 'missing'; it has the server 'server'"),
        ("app:other", "has something else under the name 'other'"),
        ("app", "write MODULE:SERVER"),
    ],
)
def test_wrong_apps_are_usage_errors(app: Path, target: str, text: str) -> None:
    """Exit code 2 and one line that says what to do."""
    code, _, error = gomachinery("worker", target, cwd=app)
    assert (code, text in error) == (2, True)


def test_unreachable_broker_is_one_line_within_two_seconds(app: Path) -> None:
    """Exit code 3; the URL is named without its password."""
    for command in (("worker", "app:server"), ("queue", "ls"), ("send", "add")):
        started = time.monotonic()
        code, _, error = gomachinery(*command, "--broker", "redis://:hunter2@127.0.0.1:1", cwd=app)
        assert (code, error.count("\n")) == (3, 1), error
        assert "redis://***@127.0.0.1:1" in error
        assert "hunter2" not in error
        assert time.monotonic() - started < 5


def test_no_broker_given() -> None:
    """Nothing is guessed."""
    code, _, error = gomachinery("queue", "ls")
    assert (code, "no broker is given" in error) == (2, True)


def test_queue_verbs(redis_url: str) -> None:
    """ls, peek, purge; purge asks unless told not to."""
    with Server(redis_url, default_queue="verbs") as server:
        for number in range(3):
            server.send_task(Signature("add", [parse_argument(f"int64:{number}")], uuid=f"task_{number}"))
    options = ("--broker", redis_url)
    listed = json.loads(gomachinery("queue", "ls", "verbs", "--json", *options)[1])
    assert listed == {"queue": "verbs", "waiting": 3, "inflight": 0, "dead": 0, "workers": 0}
    lines = gomachinery("queue", "peek", "verbs", "--json", "-n", "2", *options)[1].splitlines()
    assert [json.loads(line)["args"] for line in lines] == [[{"type": "int64", "value": n}] for n in (0, 1)]
    assert gomachinery("queue", "purge", "verbs", *options, stdin=b"n\n")[0] == 1
    assert gomachinery("queue", "purge", "verbs", "--yes", *options)[:2] == (0, "3 dropped\n")


def test_dead_and_requeue(redis_url: str) -> None:
    """Dead letters are shown with their reason and can be put back."""
    from gomachinery_py.effects import run

    with Server(redis_url) as server:
        run(server.broker.bury_body("sick", b"\x1b[31mnot json", "cannot be decoded: no"))
        options = ("--broker", redis_url)
        shown = gomachinery("queue", "dead", "sick", *options)[1]
        assert ("\x1b" not in shown, "undecodable" in shown) == (True, True)
        document = json.loads(gomachinery("queue", "dead", "sick", "--json", *options)[1])
        assert (document["undecodable"], document["reason"]) == ("\x1b[31mnot json", "cannot be decoded: no")
        assert gomachinery("queue", "requeue", "sick", "--yes", *options)[:2] == (0, "1 put back\n")
        assert run(server.broker.pending("sick")) == [b"\x1b[31mnot json"]


def test_delayed_ls(redis_url: str) -> None:
    """Tasks that wait for their time are listed with it."""
    options = ("--broker", redis_url)
    assert gomachinery("send", "later", "--eta", "2200-01-01T00:00:00.5+01:00", *options)[0] == 0
    document = json.loads(gomachinery("delayed", "ls", "--json", *options)[1])
    assert (document["name"], document["eta"]) == ("later", "2200-01-01T00:00:00.5+01:00")


def test_settings_from_file_and_environment(redis_url: str, tmp_path: Path) -> None:
    """A Machinery file, its environment variables; flags win."""
    file = tmp_path / "config.yml"
    file.write_text(f"broker: {redis_url}\nresult_backend: {redis_url}\ndefault_queue: from_file\nredis: {{}}\n")
    variables = {"BROKER": redis_url, "RESULT_BACKEND": redis_url, "DEFAULT_QUEUE": "from_environment"}
    assert gomachinery("send", "x", "--config", str(file), env=variables)[0] == 0
    assert gomachinery("send", "x", env=variables)[0] == 0
    assert gomachinery("send", "x", "--default-queue", "from_flag", env=variables)[0] == 0
    queues = ("from_file", "from_environment", "from_flag")
    lines = gomachinery("queue", "ls", *queues, "--json", env=variables)[1].splitlines()
    assert [json.loads(line)["waiting"] for line in lines] == [1, 1, 1]


def test_wire_fmt() -> None:
    """What Go would write; exit code 1 with the reason when it could not read it."""
    code, out, _ = gomachinery(
        "wire", "fmt", stdin=b' {"name": "add", "Args":[{"TYPE":"int64","value":1.50}], "x":1} tail'
    )
    assert (code, out[out.index('Value"') : out.index("}") + 1]) == (0, 'Value":1.50}')
    assert wire.decode_signature(out.encode()).name == "add"
    code, _, error = gomachinery("wire", "fmt", stdin=b'{"Name": ]')
    assert (code, "at byte 9" in error) == (1, True)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("int64:5", "int64", 5),
        ("[]int64:[1,2]", "[]int64", [1, 2]),
        ("string:int64:5", "string", "int64:5"),
        ("5", "int64", 5),
        ("-1.5", "float64", -1.5),
        ("true", "bool", True),
        ("plain text", "string", "plain text"),
        ("http://host", "string", "http://host"),
        ("[]byte:aGk=", "[]byte", "aGk="),
        ("uint64:18446744073709551615", "uint64", 18446744073709551615),
    ],
)
def test_arguments(text: str, kind: str, value: object) -> None:
    """TYPE:VALUE, or a guess that only takes what is plain."""
    argument = parse_argument(text)
    assert (kind, value) == (argument.type, argument.value)


def test_dev_shows_the_main_job() -> None:
    """The demo's results are the ones that README promises."""
    code, out, error = gomachinery("dev", "--once", "--no-go")
    assert code == 0, out + error
    for result in (" 55 ", " 60 ", " 88 ", "done with 1 retry left", "late"):
        assert result in out
