"""``gomachinery queue`` and ``gomachinery delayed``: what is in Redis, shown safely and page by page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from command_line import Done, gomachinery

from gomachinery_py import Arg, Server, Signature, wire
from gomachinery_py.cli.queues import pages
from gomachinery_py.effects import run

DEEP = b"[" * 9000 + b"]" * 9000
HOSTILE = (
    b'{"UUID":"u\x1b[2J","Name":"\xc2\x9bn\xe2\x80\xae","Args":[{"Type":"x","Value":1e400},{"Type":"int64","Value":'
    + b"9" * 5000
    + b'},{"Type":"float64","Value":1.50},{"Type":"string","Value":"\\ud800\\u0007"},{"Type":"deep","Value":'
    + DEEP
    + b"}]}"
).replace(b"\x1b", b"\\u001b")


@pytest.fixture
def server(embedded_url: str) -> Iterator[Server]:
    """Fills the queues that the commands look into."""
    with Server(embedded_url) as server:
        yield server


def push(server: Server, queue: str, *bodies: bytes) -> None:
    """Put bodies on a queue, whatever they are."""
    run(server.broker.port.execute(("RPUSH", queue, *bodies)))


def task(number: int) -> bytes:
    """A small task."""
    return wire.encode_signature(Signature("add", [Arg("int64", number)], uuid=f"task_{number}"))


def test_ls_counts(server: Server, embedded_url: str) -> None:
    """Waiting, taken and dead messages, as a table and as JSON."""
    push(server, "counted", task(1), task(2))
    run(server.broker.bury_body("counted", b"x", "no JSON"))
    expected = {"queue": "counted", "waiting": 2, "inflight": 0, "dead": 1, "workers": 0}
    done = gomachinery("queue", "ls", "counted", "--json", "--broker", embedded_url)
    assert (done.code, json.loads(done.out)) == (0, expected)
    lines = gomachinery("queue", "ls", "--broker", embedded_url).out.splitlines()
    assert lines[0].split() == ["queue", "waiting", "inflight", "dead", "workers"]
    assert ["counted", "2", "0", "1", "0"] in [line.split() for line in lines]


def test_peek_takes_nothing(server: Server, embedded_url: str) -> None:
    """The next ones, in their order, and they are still there."""
    push(server, "peeked", *map(task, range(30)))
    shown = gomachinery("queue", "peek", "peeked", "-n", "3", "--broker", embedded_url)
    assert shown == Done(0, "".join(f"task_{number} add(int64:{number})\n" for number in range(3)), "")
    assert len(gomachinery("queue", "peek", "peeked", "--broker", embedded_url).out.splitlines()) == 20
    assert len(gomachinery("queue", "peek", "peeked", "-n", "0", "--broker", embedded_url).out.splitlines()) == 30


def test_the_document_of_a_task_is_stable(server: Server, embedded_url: str) -> None:
    """Exactly these fields, for programs that read them."""
    signature = Signature(
        "add", [Arg("int64", 7)], uuid="task_7", routing_key="shaped", headers={"k": "v"}, retry_count=2
    )
    push(server, "shaped", wire.encode_signature(signature))
    assert json.loads(gomachinery("queue", "peek", "shaped", "--json", "--broker", embedded_url).out) == {
        "uuid": "task_7",
        "name": "add",
        "routing_key": "shaped",
        "eta": None,
        "args": [{"type": "int64", "value": 7}],
        "headers": {"k": "v"},
        "retry_count": 2,
        "group_uuid": "",
    }


def test_hostile_messages_are_shown_harmlessly(server: Server, embedded_url: str) -> None:
    """No control characters, no guess at numbers, no trouble with depth, in text and in JSON."""
    push(server, "hostile", HOSTILE)
    text = gomachinery("queue", "peek", "hostile", "--broker", embedded_url)
    assert (text.code, text.error, text.out.rstrip("\n").isprintable()) == (0, "", True)
    assert len(text.out) < 1000
    assert text.out.startswith("u\\x1b[2J \\x9bn\\u202e(x:1e400, ")
    done = gomachinery("queue", "peek", "hostile", "--json", "--broker", embedded_url)
    assert (done.code, done.error, done.out.rstrip("\n").isprintable()) == (0, "", True)
    assert '"value": 1e400}' in done.out
    assert '"value": 1.50}' in done.out
    assert "9" * 5000 in done.out
    shallow = json.loads(done.out.replace(DEEP.decode(), "[]").replace("9" * 5000, "9"))
    assert (shallow["uuid"], shallow["name"]) == ("u\x1b[2J", "\x9bn\u202e")
    assert shallow["args"][3]["value"] == "\ufffd\x07"


def test_dead_letters_are_shown_and_put_back(server: Server, embedded_url: str) -> None:
    """With the reason of each; requeue brings the oldest back, byte for byte."""
    bodies = [b"\x1b[31mnot json \xff", task(1), task(2)]
    for body in bodies:
        run(server.broker.bury_body("sick", body, f"reason \x1b {len(body)}"))
    text = gomachinery("queue", "dead", "sick", "--broker", embedded_url).out.splitlines()
    assert [line.isprintable() for line in text] == [True] * 3
    assert text[0].startswith("undecodable (")
    assert text[0].endswith(f"\\x1b[31mnot json \ufffd  # reason \\x1b {len(bodies[0])}")
    assert text[1] == f"task_1 add(int64:1)  # reason \\x1b {len(bodies[1])}"
    first, second, _ = map(
        json.loads, gomachinery("queue", "dead", "sick", "--json", "--broker", embedded_url).out.splitlines()
    )
    assert set(first) == {"undecodable", "base64", "error", "reason"}
    assert base64.b64decode(first["base64"]) == bodies[0]
    assert (second["uuid"], second["reason"]) == ("task_1", f"reason \x1b {len(bodies[1])}")
    options = ("--yes", "--broker", embedded_url)
    assert gomachinery("queue", "requeue", "sick", "-n", "1", *options) == Done(0, "1 put back\n", "")
    assert run(server.broker.pending("sick")) == bodies[:1]
    assert gomachinery("queue", "requeue", "sick", *options) == Done(0, "2 put back\n", "")
    assert run(server.broker.pending("sick")) == bodies
    assert gomachinery("queue", "requeue", "sick", *options) == Done(0, "0 put back\n", "")


def test_destructive_verbs_ask(server: Server, embedded_url: str) -> None:
    """Nothing happens without a yes; the question says how much there is."""
    push(server, "asked", task(1), task(2))
    run(server.broker.bury_body("asked", b"x", ""))
    options = ("asked", "--broker", embedded_url)
    for answer in (b"n\n", b"\n", b""):
        refused = gomachinery("queue", "purge", *options, stdin=answer)
        assert (refused.code, refused.out, "that wait in 'asked' (2)?" in refused.error) == (1, "", True)
        assert gomachinery("queue", "purge", "--dead", *options, stdin=answer).code == 1
        assert gomachinery("queue", "requeue", *options, stdin=answer).code == 1
    info = run(server.broker.queues(["asked"]))[0]
    assert (info.waiting, info.dead) == (2, 1)
    assert gomachinery("queue", "purge", *options, stdin=b"y\n")[:2] == (0, "2 dropped\n")
    assert gomachinery("queue", "purge", "--dead", *options, "--yes") == Done(0, "1 dropped\n", "")
    info = run(server.broker.queues(["asked"]))[0]
    assert (info.waiting, info.dead) == (0, 0)


@pytest.mark.parametrize("verb", ["ls", "peek", "purge", "requeue"])
def test_a_key_that_is_no_queue_is_left_alone(server: Server, embedded_url: str, verb: str) -> None:
    """Whatever it holds is somebody's."""
    run(server.broker.port.execute(("HSET", "somebodys", "a", "1")))
    yes = ("--yes",) if verb in ("purge", "requeue") else ()
    done = gomachinery("queue", verb, "somebodys", *yes, "--broker", embedded_url)
    assert done == Done(1, "", "gomachinery: 'somebodys' holds something else than a queue\n")
    assert run(server.broker.port.execute(("HGET", "somebodys", "a"))) == b"1"


def test_without_a_name_it_is_the_default_queue(server: Server, embedded_url: str) -> None:
    """As --default-queue says, too."""
    push(server, "default_one", task(5))
    done = gomachinery("queue", "peek", "--default-queue", "default_one", "--broker", embedded_url)
    assert done.out == "task_5 add(int64:5)\n"


def test_delayed_ls(embedded_url: str) -> None:
    """Tasks that wait for their time are listed with it, the earliest first."""
    for year in (2201, 2200):
        sent = gomachinery("send", "later", "--eta", f"{year}-01-01T00:00:00.5+01:00", "--broker", embedded_url)
        assert sent.code == 0
    documents = [
        json.loads(line) for line in gomachinery("delayed", "ls", "--json", "--broker", embedded_url).out.splitlines()
    ]
    found = [document["eta"] for document in documents if document["name"] == "later"]
    assert found == ["2200-01-01T00:00:00.5+01:00", "2201-01-01T00:00:00.5+01:00"]
    text = gomachinery("delayed", "ls", "-n", "1", "--broker", embedded_url).out
    assert text.count("\n") == 1
    assert " eta " in text


def pages_of(items: list[bytes], limit: int) -> tuple[list[bytes], list[int]]:
    """What ``pages`` yields, and the lengths of the pages that it asked for."""
    asked: list[int] = []

    async def page(start: int, count: int) -> list[bytes]:
        asked.append(count)
        return items[start : start + count]

    return list(pages(page, limit)), asked


def test_small_messages_are_read_many_at_a_time() -> None:
    """But never a whole list."""
    items = [b"%d" % number for number in range(2000)]
    found, asked = pages_of(items, 0)
    assert found == items
    assert asked == [8, 500, 500, 500, 500]


def test_large_messages_are_read_one_by_one() -> None:
    """A page stays within a few megabytes once their size is known."""
    items = [b"x" * (5 << 20)] * 10
    found, asked = pages_of(items, 0)
    assert (len(found), asked) == (10, [8, 1, 1, 1])


def test_no_more_is_read_than_asked_for() -> None:
    """-n is a limit on what is fetched as well."""
    items: list[Any] = [b"x"] * 100
    assert pages_of(items, 3) == ([b"x"] * 3, [3])
    assert pages_of(items, 10)[1] == [8, 2]
