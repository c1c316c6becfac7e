"""``gomachinery send`` and ``gomachinery result``: what is typed, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest
from command_line import Done, gomachinery

from gomachinery_py import Server, wire
from gomachinery_py.cli.arguments import parse_argument
from gomachinery_py.effects import run


@pytest.fixture
def server(embedded_url: str) -> Iterator[Server]:
    """Looks into the queues that the commands send to."""
    with Server(embedded_url) as server:
        yield server


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("int64:5", "int64", 5),
        ("[]int64:[1,2]", "[]int64", [1, 2]),
        ("[]string:[]", "[]string", []),
        ("string:int64:5", "string", "int64:5"),
        ("string:", "string", ""),
        ("string:--flag", "string", "--flag"),
        ("5", "int64", 5),
        ("-5", "int64", -5),
        ("-1.5", "float64", -1.5),
        ("1e3", "float64", "1e3"),
        ("007", "string", "007"),
        ("true", "bool", True),
        ("bool:false", "bool", False),
        ("plain text", "string", "plain text"),
        ("http://host", "string", "http://host"),
        ("[]byte:aGk=", "[]byte", "aGk="),
        ("uint64:18446744073709551615", "uint64", 18446744073709551615),
        ("float32:0.1", "float32", 0.1),
    ],
)
def test_arguments(text: str, kind: str, value: object) -> None:
    """TYPE:VALUE, or a guess that only takes what is plain."""
    argument = parse_argument(text)
    assert (kind, value) == (argument.type, argument.value)


@pytest.mark.parametrize(
    "text", ["int46:5", "[]int46:[1]", "int:", "int64:x", "[]int64:[1,", "--wiat", "float:1", "double:1"]
)
def test_arguments_that_are_mistakes(text: str) -> None:
    """They would reach a worker as text, and one that is wrong can stop a Go worker for good."""
    with pytest.raises(click.BadParameter):
        parse_argument(text)


def test_everything_that_send_can_say(server: Server, embedded_url: str) -> None:
    """Each option is in the message."""
    done = gomachinery(
        *("send", "work", "int8:-5", '[]string:["a"]', "--queue", "said", "--uuid", "task_said", "--retries", "3"),
        *("--priority", "9", "--header", "a=1", "--header", "b=x=y", "--broker", embedded_url),
    )
    assert done == Done(0, "task_said\n", "")
    sent = wire.decode_signature(run(server.broker.pending("said"))[0])
    assert [(arg.type, arg.value) for arg in sent.args or ()] == [("int8", -5), ("[]string", ["a"])]
    assert (sent.name, sent.retry_count, sent.priority) == ("work", 3, 9)
    assert sent.headers == {"a": "1", "b": "x=y"}


def test_send_prints_the_uuid(embedded_url: str) -> None:
    """As text or as JSON."""
    text = gomachinery("send", "x", "--queue", "printed", "--broker", embedded_url).out
    document = json.loads(gomachinery("send", "x", "--queue", "printed", "--json", "--broker", embedded_url).out)
    assert (text.startswith("task_"), list(document), document["uuid"].startswith("task_")) == (True, ["uuid"], True)


def test_countdown_and_eta_hold_a_task_back(server: Server, embedded_url: str) -> None:
    """It is in the delayed set, not on its queue."""
    for options in (("--countdown", "1000"), ("--eta", "2199-12-31T23:59:59Z")):
        assert gomachinery("send", "held", "--queue", "held", *options, "--broker", embedded_url).code == 0
    assert run(server.broker.pending("held")) == []
    delayed = [wire.decode_signature(body).name for body in run(server.broker.delayed())]
    assert delayed.count("held") == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("int8:300",), "argument 1: 300 does not fit int8 (-128 to 127)"),
        (("int64:1.5",), "argument 1"),
        (("--wiat",), "there is no option --wiat"),
        (("--eta", "2020-01-01T00:00:00"), "is not a time"),
        (("--eta", "2200-01-01T00:00:00Z", "--countdown", "5"), "give --eta or --countdown, not both"),
        (("--countdown", "nan"), "'nan' is not a number of seconds"),
        (("--countdown", "-1"), "'-1' is not a number of seconds"),
        (("--wait", "soon"), "'soon' is not a number of seconds"),
        (("--header", "novalue"), "'novalue' is not KEY=VALUE"),
        (("--retries", "-1"), "--retries"),
        (("--uuid", "machinery_tasks"), "uuid"),
        (("--queue", "delayed_tasks"), "routing_key"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_sent(
    server: Server, embedded_url: str, options: tuple[str, ...], text: str
) -> None:
    """Exit code 2."""
    before = run(server.broker.pending("mistaken"))
    done = gomachinery("send", "work", "--queue", "mistaken", *options, "--broker", embedded_url)
    assert (done.code, done.out, done.error.count("\n"), text in done.error) == (2, "", 1, True), done.error
    assert run(server.broker.pending("mistaken")) == before == []


def test_result_of_a_task_that_is_not_done(embedded_url: str) -> None:
    """Exit code 1, its state on standard error, with and without waiting."""
    uuid = gomachinery("send", "x", "--queue", "waiting", "--broker", embedded_url).out.strip()
    for wait in ((), ("--wait", "0.1"), ("--wait=0.1",)):
        hint = "; is a worker running that has 'x'?" if wait else ""
        done = gomachinery("result", uuid, *wait, "--broker", embedded_url)
        assert done == Done(1, "", f"PENDING: not done yet{hint}\n")


def test_result_of_an_unknown_task(embedded_url: str) -> None:
    """It may have expired; as JSON its state is empty."""
    text = gomachinery("result", "task_nobody", "--broker", embedded_url)
    assert text == Done(1, "", "not stored: never sent here, or expired\n")
    done = gomachinery("result", "task_nobody", "--json", "--broker", embedded_url)
    document = json.loads(done.out)
    assert (done.code, document["uuid"], document["state"], document["results"]) == (1, "task_nobody", "", None)


def test_the_document_of_a_result_is_stable(server: Server, embedded_url: str) -> None:
    """Exactly these fields; long results are whole, numbers as they are stored."""
    stored = (
        '{"TaskUUID":"task_done","TaskName":"add","State":"SUCCESS","Results":[{"Type":"float64","Value":1.50},'
        f'{{"Type":"string","Value":"{"long " * 200}"}}],"Error":"","CreatedAt":"2030-01-02T03:04:05Z","TTL":0}}'
    )
    run(server.broker.port.execute(("SET", "task_done", stored)))
    done = gomachinery("result", "task_done", "--json", "--broker", embedded_url)
    assert (done.code, '"value": 1.50}' in done.out) == (0, True)
    assert json.loads(done.out) == {
        "uuid": "task_done",
        "name": "add",
        "state": "SUCCESS",
        "results": [{"type": "float64", "value": 1.5}, {"type": "string", "value": "long " * 200}],
        "error": "",
        "created_at": "2030-01-02T03:04:05Z",
    }
    assert gomachinery("result", "task_done", "--broker", embedded_url).out == f"1.50\n{'long ' * 200}\n"


def test_result_needs_no_broker(embedded_url: str) -> None:
    """It only reads the result store."""
    options = ("--broker", "redis://127.0.0.1:1", "--result-backend", embedded_url)
    assert gomachinery("result", "task_nobody", *options).code == 1
