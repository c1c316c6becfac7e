"""``gomachinery contract``: files in, files out, and exit codes that a pipeline can act on."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import gomachinery

from gomachinery_py import Arg, Server, Signature
from gomachinery_py.cli.contract import DRIFT

APP = '''
from gomachinery_py import Server

server = Server("{url}", default_queue="default-{queue}")


@server.task(queue="{queue}", retries=2)
def add(*numbers: int) -> int:
    """Add numbers."""
    return sum(numbers)


@server.task("mail.send")
def send(to: str, subject: str = "hello") -> None: ...


@server.remote("render")
def render(page: str) -> bytes:
    raise NotImplementedError
'''
GO = """\
machinery_contract: 1
tasks:
  render:
    served_by: go
    parameters:
      - {type: string}
    results:
      - {type: "[]byte"}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded_url: str) -> Iterator[Path]:
    """A working directory with an app."""
    monkeypatch.chdir(tmp_path)
    # Queues of this test alone: what waits in them is looked at.
    app = APP.replace("{url}", embedded_url).replace("{queue}", tmp_path.name)
    (tmp_path / "contracted.py").write_text(app, encoding="utf-8")
    (tmp_path / "go.yaml").write_text(GO, encoding="utf-8")
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("contracted", None)


def changed(here: Path, old: str, new: str) -> None:
    """Another version of the app."""
    file = here / "contracted.py"
    assert old in file.read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    sys.modules.pop("contracted", None)
    sys.path_importer_cache.clear()
    for cached in here.glob("__pycache__/*"):
        cached.unlink()


def test_the_whole_way(here: Path) -> None:
    """From an app and a Go service to one file, to code, and a check that finds nothing."""
    assert gomachinery("contract", "export", "contracted:server", "-o", "tasks.machinery.yaml") == (0, "", "")
    assert gomachinery("contract", "merge", "tasks.machinery.yaml", "go.yaml", "-o", "tasks.machinery.yaml").code == 0
    text = (here / "tasks.machinery.yaml").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("  ") and line[2] != " "] == [
        "  add:",
        "  mail.send:",
        "  render:",
    ]
    done = gomachinery("contract", "check", "tasks.machinery.yaml", "contracted:server", "go.yaml", "--waiting")
    assert done == (
        0,
        "tasks.machinery.yaml: no difference; 0 waiting tasks were looked at\n",
        "",
    )
    stubs = gomachinery("contract", "python", "tasks.machinery.yaml", "--served-by", "go")
    assert ("def render(arg1: str, /) -> bytes:" in stubs.out, "def add" in stubs.out) == (True, False)
    producer = gomachinery("contract", "go", "tasks.machinery.yaml", "--served-by", "python", "--machinery", "v1")
    assert "func SendMailSend(ctx context.Context, server *machinery.Server, to string, subject string)" in producer.out
    assert '"github.com/RichardKnop/machinery/v1/tasks"' in producer.out
    registry = gomachinery(
        "contract", "go", "tasks.machinery.yaml", "--served-by", "go", "--registry", "--package", "x"
    )
    assert ("package x" in registry.out, "func Render(arg1 string) ([]byte, error) {" in registry.out) == (True, True)


def test_export_keeps_what_others_serve(here: Path) -> None:
    """And is the same text again when nothing changed."""
    file = here / "go.yaml"
    file.chmod(0o640)
    assert gomachinery("contract", "export", "contracted:server", "-o", "go.yaml").code == 0
    first = file.read_text(encoding="utf-8")
    assert gomachinery("contract", "export", "contracted:server", "-o", "go.yaml").code == 0
    assert (first, stat.S_IMODE(file.stat().st_mode)) == (file.read_text(encoding="utf-8"), 0o640)
    assert "  render:\n    served_by: go\n" in first
    changed(here, '@server.task("mail.send")', '@server.task("mail.post")')
    assert gomachinery("contract", "export", "contracted:server", "-o", "go.yaml").code == 0
    assert ("mail.send" in file.read_text(), "mail.post" in file.read_text()) == (False, True)
    assert sorted(path.name for path in here.iterdir() if path.name.startswith(".")) == []


def test_drift_in_code(here: Path) -> None:
    """Exit code 5, a line each, and only what breaks something when that is asked for."""
    gomachinery("contract", "export", "contracted:server", "-o", "go.yaml")
    changed(here, "to: str, subject", "to: list[str], subject")
    changed(here, "retries=2", "retries=3")
    changed(here, "page: str", "page: str, width: int")
    done = gomachinery("contract", "check", "go.yaml", "contracted:server")
    assert (done.code, [line.split(": ")[1] for line in done.out.splitlines()]) == (
        DRIFT,
        ["add", "mail.send", "render"],
    )
    assert "retries is 2 in the contract and 3 in contracted:server (contracted.py:7) (breaks nothing)" in done.out
    assert "parameter 1 (to) is string in the contract and []string in contracted:server" in done.out
    assert "it takes 1 argument in the contract and 2 arguments in contracted:server" in done.out
    breaking = gomachinery("contract", "check", "go.yaml", "contracted:server", "--breaking", "--json")
    assert [json.loads(line)["task"] for line in breaking.out.splitlines()] == ["mail.send", "render"]


def test_drift_in_a_queue(here: Path, embedded_url: str) -> None:
    """The app's own broker is read, and the queues that the contract names."""
    queue = here.name
    gomachinery("contract", "export", "contracted:server", "-o", "go.yaml")
    with Server(embedded_url) as server:
        server.send_task(Signature("add", [Arg("string", "\x1b[2J")], routing_key=queue))
        server.send_task(Signature("bad\x1b[2J", routing_key=queue))
    done = gomachinery("contract", "check", "go.yaml", "contracted:server", "--waiting")
    assert (done.code, done.out.count("\n"), "\x1b" in done.out) == (DRIFT, 2, False)
    assert done.out.startswith(
        f"queue {queue}: add: argument 1 (numbers) is string, the contract has int64 (1×, as task_"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["check", "go.yaml"], 2, "say what to compare"),
        (["check", "nothing.yaml", "go.yaml"], 2, "cannot read the contract nothing.yaml: No such file"),
        (["check", "go.yaml", "nothing.yaml"], 2, "cannot read the contract nothing.yaml: No such file"),
        (["check", "contracted.py", "go.yaml"], 2, "contracted.py line 8: not YAML"),
        (["check", "go.yaml", "nothing:server"], 2, "there is no module 'nothing'"),
        (["check", "go.yaml", "--queue", "x", "--broker", "redis://127.0.0.1:1"], 3, "redis://127.0.0.1:1"),
        (["export", "contracted"], 2, "write MODULE:SERVER"),
        (["export", "contracted:server", "-o", "contracted.py"], 2, "contracted.py line 8: not YAML"),
        (["export", "contracted:server", "-o", "no/where.yaml"], 2, "cannot write no/where.yaml: No such file"),
        (["merge"], 2, "Missing argument"),
        (["python", "go.yaml", "--served-by", "rust"], 1, "no task that is served by 'rust'; it has go"),
        (["python", "go.yaml", "--models", "a b"], 2, "'a b' is no module"),
        (["go", "go.yaml", "--package", "a-b"], 1, "'a-b' cannot be the name of a Go package"),
        (["go", "go.yaml", "--machinery", "v3"], 2, "v3"),
    ],
)
@pytest.mark.usefixtures("here")
def test_mistakes(arguments: list[str], code: int, text: str) -> None:
    """One line that says what to do, and no file is harmed."""
    done = gomachinery("contract", *arguments)
    assert (done.code, done.out, done.error.count("\n"), text in done.error) == (code, "", 1, True), done


def test_two_services_cannot_serve_one_task(here: Path) -> None:
    """The error names both places."""
    (here / "other.yaml").write_text(GO.replace("served_by: go", "served_by: rust"), encoding="utf-8")
    done = gomachinery("contract", "merge", "go.yaml", "other.yaml")
    assert (done.code, done.out) == (1, "")
    assert "task 'render' is in two contracts, go.yaml:3 (served by go) and other.yaml:3 (served by rust)" in done.error


def test_an_app_that_serves_nothing_any_more(here: Path) -> None:
    """Its tasks leave the file."""
    gomachinery("contract", "export", "contracted:server", "-o", "go.yaml")
    changed(here, "@server.task", "@server.remote")
    assert gomachinery("contract", "export", "contracted:server", "-o", "go.yaml").code == 0
    assert "served_by: python" not in (here / "go.yaml").read_text(encoding="utf-8")
