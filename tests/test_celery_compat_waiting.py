"""Waiting Celery messages, read and judged; what real Celery writes is in ``compat-tests/test_celery_translate.py``."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomachinery_py.brokers.kombu import KombuMessage, KombuQueues
from gomachinery_py.compat.celery import Celery
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.compat.celery.translating import Translator, Verdict
from gomachinery_py.compat.celery.waiting import label, read
from gomachinery_py.effects import run
from gomachinery_py.errors import MachineryError

HEADERS: dict[str, Any] = {
    "lang": "py", "task": "t", "id": "an-id", "shadow": None, "eta": None, "expires": None, "group": None,
    "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": "an-id", "parent_id": None,
    "argsrepr": "(1,)", "kwargsrepr": "{}", "origin": "gen1@host", "ignore_result": False,
    "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
}  # fmt: skip
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def sub(task: str, *args: Any, immutable: bool = False, kind: str | None = None, **fields: Any) -> dict[str, Any]:
    """A signature inside a message."""
    document = {
        "task": task,
        "args": list(args),
        "kwargs": {},
        "options": {},
        "subtask_type": kind,
        "immutable": immutable,
    }
    return document | fields


def envelope(
    args: Any = (1,), kwargs: Any = None, embed: Any = None, *, body: bytes | None = None, **changed: Any
) -> bytes:
    """A message as kombu writes it to Redis."""
    headers = HEADERS | {key: value for key, value in changed.items() if "-" not in key}
    text = json.dumps([args, kwargs or {}, EMBED | (embed or {})]).encode() if body is None else body
    document = {
        "body": base64.b64encode(text).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {"correlation_id": "an-id", "body_encoding": "base64", "delivery_tag": "tag", "priority": 0},
    }
    return json.dumps(document | {key: value for key, value in changed.items() if "-" in key}).encode()


def test_read() -> None:
    """A message is the signature that it was, with what is to follow in its order."""
    waiting = read(
        envelope(
            embed={
                "callbacks": [sub("link", 5)],
                "errbacks": [sub("error", immutable=True)],
                "chain": [sub("last", options={"task_id": "c", "queue": "q"}), sub("next", options={"task_id": "b"})],
            },
            retries=2, eta="2031-01-01T00:00:00+00:00", tenant="blue",
        )
    )  # fmt: skip

    assert (waiting.name, waiting.id, waiting.retries) == ("t", "an-id", 2)
    assert repr(waiting.canvas) == "t(1) | next() | last()"
    first, second, third = waiting.canvas.members()
    assert first.options["headers"] == {"tenant": "blue"}  # type: ignore[attr-defined]
    assert [repr(each) for each in first.options["link"]] == ["link(5)"]  # type: ignore[attr-defined]
    assert first.options["link_error"][0].immutable  # type: ignore[attr-defined]
    assert (second.options["task_id"], third.options["queue"]) == ("b", "q")  # type: ignore[attr-defined]


REFUSED: dict[str, bytes] = {
    "never|pickled": envelope(**{"content-type": "application/x-python-serialize"}, body=b"\x80\x04."),
    "application/x-yaml": envelope(**{"content-type": "application/x-yaml"}),
    "encoded as binary": envelope(**{"content-encoding": "binary"}),
    "protocol 2": envelope(headers={}, **{"content-type": "application/json"}).replace(b'"task"', b'"tusk"'),
    "time limit": envelope(timelimit=[None, 5]),
    "stamped": envelope(stamped_headers=["x"]),
    "compressed": envelope(compression="application/x-gzip"),
    "member of a chord, and": envelope(embed={"chord": sub("body")}),
    "is a member of a chord; let": envelope(embed={"callbacks": [sub("x", options={"chord": sub("body")})]}),
    "follow it as chunks": envelope(embed={"callbacks": [sub("celery.chunks", kind="chunks")]}),
    "cannot be read": envelope(body=b"{"),
    "which only the program": envelope(body=b'[[{"__type__":"own","__value__":1}],{},{}]'),
    "not a list of": envelope(body=b"{}"),
    "of the wrong kind": envelope(args=5),
    "no signature": envelope(embed={"chain": [5]}),
    "chain is no list": envelope(embed={"chain": {"a": 1}}),
    "eta 'soon' is no time": envelope(eta="soon"),
    "expires is no time": envelope(expires=5),
    "no message of Celery's": b"\x00",
    "not the base64": json.dumps({"body": "%", "properties": {"body_encoding": "base64"}}).encode(),
    "only kombu knows": json.dumps({"body": "", "properties": {"body_encoding": "rot13"}}).encode(),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why: str) -> None:
    """Each has its reason."""
    with pytest.raises((CeleryDifference, ValueError), match=why):
        read(REFUSED[why])


def test_label() -> None:
    """A message that cannot be translated is named all the same, as far as it says who it is."""
    assert label(REFUSED["time limit"]) == ("t", "an-id")
    assert label(b"\x00") == ("", "")


JUNK = st.sampled_from([None, True, 5, "", "text", [], {}, [1], {"a": 1}])
PLACES = ["task", "id", "eta", "expires", "retries", "timelimit", "stamped_headers", "compression", "group", "tenant"]
OPTIONS = st.sampled_from(
    ["link", "link_error", "task_id", "queue", "eta", "countdown", "headers", "priority", "chord"]
)


def signatures(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Signatures, most of them well-formed, that hold others."""
    return st.builds(
        lambda task, changed: sub(task) | changed,
        st.sampled_from(["t", "other"]),
        st.fixed_dictionaries(
            {},
            optional={
                "args": JUNK,
                "kwargs": JUNK | st.fixed_dictionaries({"tasks": JUNK | st.lists(inner, max_size=2), "header": inner}),
                "options": JUNK | st.dictionaries(OPTIONS, JUNK | st.lists(inner, max_size=1), max_size=2),
                "subtask_type": st.sampled_from(["chain", "group", "chord", None]),
                "immutable": JUNK,
            },
        ),
    )


FOLLOWING = st.lists(st.recursive(JUNK | signatures(JUNK), signatures, max_leaves=4), max_size=2)


@settings(max_examples=int(os.environ.get("GMPY_EXAMPLES", "200")))
@given(
    st.dictionaries(st.sampled_from(PLACES), JUNK, max_size=2),
    st.dictionaries(st.sampled_from(list(EMBED)), JUNK | FOLLOWING, max_size=3),
    JUNK | st.just([1]),
    JUNK | st.just({}),
)
def test_garbage(headers: dict[str, Any], embed: dict[str, Any], args: Any, kwargs: Any) -> None:
    """Whatever a message holds, it is translated or refused with a reason; nothing else is ever raised."""
    body = json.dumps([args, kwargs, EMBED | embed]).encode()
    verdict = judged(envelope(body=body, **headers))

    assert verdict.refused or verdict.queue


@given(st.binary(max_size=40) | st.binary().map(lambda body: envelope(body=body)))
def test_bytes(body: bytes) -> None:
    """So are bytes that are no message at all."""
    assert judged(body).refused


class Memory(KombuQueues):
    """A queue in memory."""

    def __init__(self, bodies: list[bytes]) -> None:
        self.bodies = bodies
        self.released = 0

    async def names(self, queue: str) -> list[str]:
        return [queue]

    async def waiting(self, name: str, skip: int, count: int) -> list[KombuMessage]:
        return [KombuMessage(name, body) for body in self.bodies[skip : skip + count]]

    async def remove(self, message: KombuMessage, commands: Any = ()) -> bool:  # noqa: ARG002
        self.bodies.remove(message.body)
        return True

    async def release(self) -> None:
        self.released += 1


APP = Celery("t", task_always_eager=True, set_as_current=False)
APP.task(name="t")(lambda *args, **kwargs: [list(args), kwargs])


def judged(body: bytes) -> Verdict:
    found: list[Verdict] = []
    run(Translator(Memory([body]), APP).translate("celery", found.append, dry_run=True))
    [verdict] = found
    return verdict


def test_pages() -> None:
    """What is refused stays, in its order, and does not hide what is behind it."""
    bodies = [
        envelope((number,), id=f"id-{number}", timelimit=[None, 1] if number % 3 == 0 else [None, None])
        for number in range(250)
    ]
    source, found = Memory(list(bodies)), []
    run(Translator(source, APP).translate("celery", found.append))

    assert source.bodies == [body for number, body in enumerate(bodies) if number % 3 == 0]
    assert [verdict.id for verdict in found] == [f"id-{number}" for number in range(250)]
    assert APP.AsyncResult("id-1").get(timeout=5) == [[1], {}]
    assert source.released == 1


def test_limit_and_dry_run() -> None:
    """A dry run takes nothing; a limit looks at so many."""
    source, found = Memory([envelope((number,), id=f"other-{number}") for number in range(5)]), []
    run(Translator(source, APP).translate("celery", found.append, dry_run=True))
    run(Translator(source, APP).translate("celery", found.append, limit=2))

    assert (len(found), len(source.bodies)) == (7, 3)


def test_target_is_source() -> None:
    """Nothing is translated into the queue that it comes from."""
    found: list[Verdict] = []
    run(Translator(Memory([envelope()]), APP, to_queue="celery", shares_broker=True).translate("celery", found.append))

    assert "its target is 'celery' itself" in found[0].refused


def test_everything_goes_there() -> None:
    """``--to`` is for what follows too."""
    embed = {"chain": [sub("t", options={"queue": "q"})], "callbacks": [sub("t")], "errbacks": [sub("t")]}
    translator = Translator(Memory([]), APP, to_queue="new")
    sent = translator._translated(read(envelope(embed=embed)))

    assert {each.routing_key for each in (sent, *(sent.on_success or ()), *(sent.on_error or ()))} == {"new"}


def test_source_fails() -> None:
    """When the source fails what was seen is given back."""

    class Broken(Memory):
        async def remove(self, message: KombuMessage, commands: Any = ()) -> bool:  # noqa: ARG002
            raise MachineryError("away")

    source = Broken([envelope(id="one-more")])
    with pytest.raises(MachineryError, match="away"):
        run(Translator(source, APP).translate("celery", lambda _: None))
    assert source.released == 1
