"""``gomachinery wire explain``, ``wire lint`` and ``wire diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import gomachinery
from docs_blocks import Block
from docs_wire import BETTER, Example, examples, messages, said

from gomachinery_py.cli.diagnosis import split
from gomachinery_py.diagnosis.findings import Severity
from gomachinery_py.diagnosis.lint import lint

GOOD = b'{"UUID":"a","Name":"add","Args":[{"Type":"int64","Value":1}],"Headers":{}}'
BAD = GOOD.replace(b"1}", b"1.0}")
ODD = GOOD.replace(b'"UUID":"a",', b'"Priority":99,"UUID":"a",')

APP = """
from gomachinery_py import Server

server = Server("redis://127.0.0.1:1")


@server.task
def add(one: int, two: int) -> int:
    return one + two


@server.remote("greet")
def greet(name: str) -> str:
    raise NotImplementedError
"""


def test_explain() -> None:
    """The task, a line for each side, what it costs there, and the findings with their remedies."""
    done = gomachinery("wire", "explain", stdin=BAD)
    text = 'FAILURE, no retry: Reflect task args error: strconv.ParseInt: parsing "1.0": invalid syntax'
    lines = done.out.splitlines()
    assert (done.code, done.error, lines[0]) == (0, "", "a add(int64:1.0)")
    assert [line.split(maxsplit=2)[2] for line in (lines[1], lines[3])] == [text, text]
    assert lines[5] == f"  here     {text}"
    assert lines[-1] == '           → "Type": "int64", "Value": 1'


def test_a_message_of_many_arguments() -> None:
    """The line of a task ends where nobody reads on, and says how much more there is."""
    body = json.dumps({"Name": "add", "UUID": "a", "Headers": {}, "Args": [{"Type": "int64", "Value": 1}] * 5_000})
    headline = gomachinery("wire", "explain", stdin=body.encode()).out.splitlines()[0]

    assert headline == f"a add({'int64:1, ' * 100}… 4900 more)"


def test_explain_as_json() -> None:
    """One object a message, with the verdicts of all sides."""
    done = gomachinery("wire", "explain", "--json", stdin=GOOD + b"\n" + BAD + b"\n")
    good, bad = map(json.loads, done.out.splitlines())
    assert list(good) == ["number", "bytes", "verdicts", "findings"]
    assert {side: verdict["verdict"] for side, verdict in good["verdicts"].items()} == {
        "go_v1": "accepted",
        "go_v2": "accepted",
        "here": "accepted",
    }
    assert (bad["number"], bad["bytes"], bad["findings"][0]["path"]) == (2, len(BAD), "Args[0].Value")
    assert bad["verdicts"]["go_v2"] == {
        "verdict": "failure",
        "text": 'Reflect task args error: strconv.ParseInt: parsing "1.0": invalid syntax',
        "retries": 0,
        "cost": "with redis.New the worker consumes no more; with redis.NewGR it starts over and loses fetched tasks",
        "on_success": None,
        "on_failure": None,
    }


@pytest.mark.parametrize(
    ("message", "options", "code"),
    [(GOOD, (), 0), (BAD, (), 1), (ODD, (), 0), (ODD, ("--strict",), 1), (GOOD, ("--strict",), 0)],
)
def test_exit_code_of_lint(message: bytes, options: tuple[str, ...], code: int) -> None:
    """1 when there are errors, with --strict also for warnings; nothing is printed when there is nothing to say."""
    done = gomachinery("wire", "lint", *options, stdin=message)
    assert (done.code, done.out == "", done.error) == (code, message == GOOD, "")


def test_lint_as_json() -> None:
    """One object a message, also for those without findings."""
    done = gomachinery("wire", "lint", "--json", stdin=GOOD + b"\n" + BAD)
    good, bad = map(json.loads, done.out.splitlines())
    assert (done.code, good) == (1, {"number": 1, "findings": []})
    assert {**bad["findings"][0], "what": ""} == {
        "severity": "error",
        "code": "no-fit",
        "path": "Args[0].Value",
        "what": "",
        "instead": '"Type": "int64", "Value": 1',
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", [b""]),
        (GOOD, [GOOD]),
        (GOOD + b"\n", [GOOD]),
        (GOOD + b"\r\n" + BAD + b"\r\n\r\n", [GOOD, BAD]),
        (b'{\n"Name": "a"}\n', [b'{\n"Name": "a"}']),
        (GOOD + b"\n{", [GOOD, b"{"]),
        (b"{\n" + GOOD, [b"{\n" + GOOD]),
    ],
)
def test_messages_of_a_file(data: bytes, expected: list[bytes]) -> None:
    """One a line when the first line is a document, else all is one; a newline at the end is the file's."""
    assert expected == split(data)


def test_foreign_text_steers_no_terminal() -> None:
    """Whatever a message holds."""
    body = json.dumps({"UUID": "\x1b[2J\u202e", "Name": "a\nb", "Args": [{"Type": "\x07", "Value": "\x9b"}], "\x1b": 1})
    for stdin in (body.encode(), body.encode()[:-1], b"\x1b[31m\xff"):
        for verb in ("explain", "lint"):
            done = gomachinery("wire", verb, stdin=stdin)
            assert all(line.isprintable() for line in done.out.splitlines()), done.out


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An app with a task of its own and one of others."""
    (tmp_path / "wire_app.py").write_text(APP, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "wire_app:server"


def test_with_an_app(app: str) -> None:
    """The number and the types of arguments count, and what is run here."""
    done = gomachinery("wire", "explain", "--app", app, stdin=GOOD)
    assert "Go v1    FAILURE, no retry: reflect: Call with too few input arguments" in done.out
    assert "here     FAILURE, no retry: reflect: Call with too few input arguments" in done.out
    assert "→ add(int64, int64)" in done.out
    greet = GOOD.replace(b'"add"', b'"greet"').replace(b'"int64","Value":1', b'"string","Value":"x"')
    done = gomachinery("wire", "explain", "--app", app, stdin=greet)
    assert [line.split(maxsplit=1)[1] for line in done.out.splitlines()[1:]] == [
        "v1    accepted",
        "v2    accepted",
        "no task of this name: it is handed back to the queue",
    ]
    assert gomachinery("wire", "lint", "--app", app, stdin=greet).code == 0
    assert gomachinery("wire", "lint", "--app", "no_such_module:server", stdin=greet).code == 2


CONTRACT = """
machinery_contract: 1
tasks:
  add:
    served_by: go
    queue: sums
    parameters: [{name: one, type: int64}, {type: int64, name: two}]
  sum:
    parameters: [{name: numbers, type: int64, variadic: true}]
"""


def test_with_a_contract(tmp_path: Path) -> None:
    """Arguments are checked against it, whoever serves the task; its queues are known."""
    file = tmp_path / "tasks.machinery.yaml"
    file.write_text(CONTRACT, encoding="utf-8")
    done = gomachinery("wire", "explain", "--contract", str(file), stdin=GOOD)
    assert [line.split(maxsplit=2)[2] for line in done.out.splitlines()[1:3]] == [
        "FAILURE, no retry: reflect: Call with too few input arguments"
    ] * 2
    assert "→ add(int64, int64)" in done.out
    linted = [GOOD.replace(b'"add"', name) for name in (b'"sum"', b'"add"', b'"ad"')]
    linted.append(linted[0].replace(b'"UUID":"a"', b'"UUID":"sums"'))
    done = gomachinery("wire", "lint", "--json", "--contract", str(file), stdin=b"\n".join(linted))
    found = [[finding["code"] for finding in json.loads(line)["findings"]] for line in done.out.splitlines()]
    assert found == [[], ["signature"], ["unknown-task"], ["uuid-is-a-key"]]


def test_a_contract_that_is_none(app: str, tmp_path: Path) -> None:
    """One line that names it; and it is given without an app."""
    file = tmp_path / "tasks.machinery.yaml"
    file.write_text("tasks: {}", encoding="utf-8")
    for options, why in (
        (("--contract", str(file)), "this is no contract"),
        (("--contract", str(tmp_path / "nothing")), "cannot read the contract"),
        (("--contract", str(file), "--app", app), "give --app or --contract, not both"),
    ):
        done = gomachinery("wire", "lint", *options, stdin=GOOD)
        assert (done.code, done.error.count("\n"), why in done.error) == (2, 1, True), done.error


def test_a_file_and_a_queue() -> None:
    """One of them."""
    done = gomachinery("wire", "lint", __file__, "--queue", "q", "--broker", "redis://127.0.0.1:1")
    assert (done.code, done.error.count("\n")) == (2, 1)


def test_a_queue_that_cannot_be_reached() -> None:
    """Exit code 3 and one line."""
    done = gomachinery("wire", "explain", "--queue", "q", "--broker", "redis://127.0.0.1:1")
    assert (done.code, done.out, done.error.count("\n")) == (3, "", 1)


def test_diff(tmp_path: Path) -> None:
    """Exit code 1 when Go sees a difference, with --strict also when only the bytes differ."""
    files = {"good": GOOD, "bad": BAD, "spaced": GOOD.replace(b",", b", ")}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    good, bad, spaced = (str(tmp_path / name) for name in files)
    assert gomachinery("wire", "diff", good, good) == (0, "", "")
    assert gomachinery("wire", "diff", good, bad) == (1, "literal       Args[0].Value: 1 | 1.0\n", "")
    assert gomachinery("wire", "diff", good, spaced).code == 0
    assert gomachinery("wire", "diff", "--strict", good, spaced).code == 1
    assert json.loads(gomachinery("wire", "diff", "--json", good, bad).out) == {
        "meaning": "literal",
        "path": "Args[0].Value",
        "left": "1",
        "right": "1.0",
    }
    assert gomachinery("wire", "diff", good, str(tmp_path / "nowhere")).code == 2


# -- docs/wire-tools.md --


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: str(example.block))
def test_transcripts_of_the_page(example: Example) -> None:
    """A command says what the page says (``python tests/docs_wire.py`` writes it)."""
    assert said(example) == example.block.text


@pytest.mark.parametrize("block", [block for block in messages() if block.info == BETTER], ids=str)
def test_better_messages_of_the_page(block: Block) -> None:
    """What the page says to write instead has nothing that counts."""
    counted = [finding for finding in lint(block.text.encode()) if finding.severity is not Severity.NOTE]
    assert counted == []
