"""Redis as the broker and DynamoDB as the result store: each producer with each kind of worker, and what is stored."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import short_directory
from harness.command_line import gomachinery
from harness.dynamodb_server import PAIRS, URL, DynamoDBFleet, DynamoDBServer
from harness.fixtures import FIXTURES
from harness.fleet import Pair
from harness.go_producer import GoTaskFailed
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import Document, signature
from test_both_ways import BYTES, FAILURES, SCALARS, told, values

from gomachinery_py.errors import ArgumentError
from gomachinery_py.wire import decode_group_meta, decode_task_state, encode_group_meta, encode_task_state
from gomachinery_py.wire.model import GroupMeta, TaskResult, TaskState


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[DynamoDBServer]:
    """The DynamoDB of this module, which every process started meanwhile finds by its environment."""
    before = dict(os.environ)
    with short_directory() as directory:
        server = DynamoDBServer(directory)
        os.environ.update(server.environment)
        yield server
        for name in server.environment:
            os.environ.pop(name)
        os.environ.update(before)
        server.kill()


@pytest.fixture(scope="module")
def fleet(dynamodb: DynamoDBServer) -> Iterator[DynamoDBFleet]:  # noqa: ARG001
    """A worker of every kind, each on a queue of its own."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with DynamoDBFleet(redis, directory) as fleet:
            yield fleet
        redis.stop()


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: Any, fleet: DynamoDBFleet) -> Iterator[Pair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = Pair(fleet, *request.param)
    pair.check_worker()
    yield pair
    pair.check_worker()


def concat(*parts: str, **fields: object) -> Document:
    return signature("concat", *(("string", part) for part in parts), **fields)


def test_texts(pair: Pair) -> None:
    """Results that are strings come back whole to either side, the empty one and all other characters too."""
    sent = [pair.producer.send_task(concat(text), typed=True) for text in SCALARS["string"]]

    assert [values(pair.producer, uuid) for uuid in sent] == [[text] for text in SCALARS["string"]]
    assert told(pair.producer, pair.producer.send_task(signature("noop"))) == []


def test_retries(pair: Pair, dynamodb: DynamoDBServer) -> None:
    """A task that fails first, and one that asks for later, run again to their success; their names stay."""
    sent = [
        pair.producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=2), typed=True),
        pair.producer.send_task(signature("retry_later", ("string", "x"), ("int64", 50), ("int64", 2)), typed=True),
    ]

    items = [final(dynamodb, uuid) for uuid in sent]
    assert [(item["TaskName"]["S"], item["State"]["S"]) for item in items] == [
        ("fail_n_times", "SUCCESS"),
        ("retry_later", "SUCCESS"),
    ]
    assert [item["Results"]["L"][0]["M"] for item in items] == [
        {"Type": {"S": "int64"}, "Value": {"S": "2"}},
        {"Type": {"S": "int64"}, "Value": {"S": "3"}},
    ]


def test_failures(pair: Pair) -> None:
    """An error, a panic of each kind and a call that does not fit fail with the same text on either side."""
    sent = [pair.producer.send_task(task, typed=True) for task, _ in FAILURES]

    texts = []
    for uuid in sent:
        with pytest.raises(GoTaskFailed) as caught:
            pair.producer.get(uuid)
        texts.append(str(caught.value))

    assert texts == [text for _, text in FAILURES]


def test_workflows(pair: Pair) -> None:
    """A chain passes its results on, a group's members all run, a chord's callback gets every member's text."""
    producer = pair.producer
    chain = producer.send_chain(concat("a"), concat("b"), concat("c"), typed=True)
    group = producer.send_group(concat("1"), signature("fail", ("string", "bad")), concat("2"), typed=True)
    chord = producer.send_chord(*(concat(str(number)) for number in range(8)), callback=concat("all:"), typed=True)

    assert values(producer, *chain.all) == ["cba"]
    assert [values(producer, uuid) for uuid in (group.uuids[0], group.uuids[2])] == [["1"], ["2"]]
    [text] = values(producer, *chord.all)
    assert (text[:4], sorted(text[4:])) == ("all:", list("01234567"))


TYPES: list[tuple[str, Any]] = [
    *((kind, value) for kind, several in SCALARS.items() for value in several),
    *((f"[]{kind}", several) for kind, several in SCALARS.items() if kind != "uint8"),
    ("[]uint8", BYTES),
]
# Nothing of them is lost in Go's texts but how a list of strings is parted.
NUMBERS = [(kind, value) for kind, value in TYPES if kind != "[]string"]
EMPTY: list[tuple[str, Any]] = [(f"[]{kind}", "" if kind == "uint8" else []) for kind in SCALARS]


def echoed(pair: Pair, cases: list[tuple[str, Any]]) -> list[str]:
    """UUIDs of tasks that return one value of a type each."""
    return [pair.producer.send_task(signature(f"echo_{kind}", (kind, value)), typed=True) for kind, value in cases]


def test_every_type_comes_back_to_python(fleet: DynamoDBFleet) -> None:
    """Between Python and Python each type at its limits, slices, empty ones and lists of strings lose nothing."""
    pair = Pair(fleet, "python", "python")
    lists = [("[]string", [""]), ("[]string", ["", ""]), ("[]string", ["a b", "c"]), ("[]string", ["[x", "]"])]
    cases = [*TYPES, *EMPTY, *lists, ("float64", -0.0)]

    sent = echoed(pair, cases)

    assert [told(pair.producer, uuid) for uuid in sent] == [[case] for case in cases]


@pytest.mark.parametrize("kind", ["go-v1-redigo", "go-v2-redigo"])
def test_python_reads_what_go_has_stored(kind: str, fleet: DynamoDBFleet) -> None:
    """Numbers, bools, bytes and their slices, which Go cannot read back itself; only lists of strings are lost."""
    pair = Pair(fleet, "python", kind)
    cases = [*NUMBERS, *(case for case in EMPTY if case[0] != "[]string")]

    sent = echoed(pair, cases)
    lost = pair.producer.send_task(signature("echo_[]string", ("[]string", ["a b"])))

    assert [told(pair.producer, uuid) for uuid in sent] == [[case] for case in cases]
    with pytest.raises(ArgumentError, match=r"^91 is not string$"):
        pair.producer.get(lost)


@pytest.mark.parametrize("kind", ["go-v1-redigo", "go-v2-redigo"])
def test_what_go_cannot_read(kind: str, fleet: DynamoDBFleet, stack: contextlib.ExitStack) -> None:
    """A Go producer reads strings only, and a Go worker's callback gets texts: both are listed, and both are so."""
    numbers = [signature("add", ("int64", number)) for number in (1, 2, 3)]
    go, python = fleet.producer(kind, "python"), fleet.producer("python", "python")
    assert fleet.worker("python").alive

    texts = []
    for task in (numbers[0], signature("echo_[]string", ("[]string", ["a"]))):
        with pytest.raises(GoTaskFailed) as caught:
            go.get(go.send_task(task, typed=True))
        texts.append(str(caught.value))
    by_python = go.send_chord(*numbers, callback=signature("add"), typed=True)
    # Its consumer ends with that callback.
    queue = f"doomed-{kind}"
    # One at a time, or it may fire the chord twice and leave the second callback without a consumer.
    fleet.start_worker(kind, stack, queue=queue, concurrency=1)
    by_go = fleet.producer("python", queue).send_chord(*numbers, callback=signature("add"), typed=True)

    assert texts == ["1 is not int64", "91 is not string"]
    assert values(python, by_python.callback_uuid) == [6]
    with pytest.raises(GoTaskFailed, match=r"^Reflect task args error: [123] is not int64$"):
        python.get(by_go.callback_uuid)
    assert listed("dynamodb-") == {"dynamodb-results", "dynamodb-chord"}


def listed(prefix: str) -> set[str]:
    """The names in ``known-divergence.txt`` that begin so."""
    lines = (FIXTURES / "known-divergence.txt").read_text(encoding="utf-8").splitlines()
    return {line.split()[0] for line in lines if line.startswith(prefix)}


# -- what is stored --

KINDS = ("go-v1-redigo", "go-v2-redigo", "python")


def plain(item: Any) -> Any:
    """An item without what differs from run to run; v1 writes an empty text as NULL, which v2 and we do not."""
    shown = {**item, "CreatedAt": re.sub(r"\d", "0", item["CreatedAt"]["S"]).replace(".000000000Z", "Z")}
    shown["CreatedAt"] = re.sub(r"\.0+Z$", "Z", shown["CreatedAt"])
    shown["TTL"] = "later" if int(item["TTL"]["N"]) else "0"
    if shown.get("Error") == {"NULL": True}:
        shown["Error"] = {"S": ""}
    return shown


def final(dynamodb: DynamoDBServer, uuid: str) -> Any:
    """A task's item when it has ended."""

    def ended() -> bool:
        return dynamodb.task(uuid)["State"]["S"] in ("SUCCESS", "FAILURE")

    wait_until(ended, 30, f"{uuid} has ended")
    return dynamodb.task(uuid)


@pytest.mark.parametrize("version", ["go-v1-redigo", "go-v2-redigo"])
def test_what_a_producer_stores(version: str, fleet: DynamoDBFleet, dynamodb: DynamoDBServer) -> None:
    """PENDING and a group's item are Go's, attribute for attribute; the group's expiry is an hour from now."""
    stored = []
    for kind in (version, "python"):
        producer = fleet.producer(kind, f"idle-{version}-{kind}")
        members = [signature("noop", UUID=f"member-{number}") for number in range(2)]
        group = producer.send_group(*members)
        item = dynamodb.group(group.group_uuid)
        assert abs(int(item["TTL"]["N"]) - time.time() - 3600) < 60
        assert item.pop("GroupUUID") == {"S": group.group_uuid}
        stored.append([plain(item), *(plain(dynamodb.task(f"member-{number}")) for number in range(2))])

    theirs, ours = stored
    assert ours == theirs
    assert ours[0]["TaskUUIDs"] == {"L": [{"S": "member-0"}, {"S": "member-1"}]}
    assert (ours[1]["TTL"], ours[1]["Results"], ours[1]["State"]) == ("0", {"NULL": True}, {"S": "PENDING"})


@pytest.mark.parametrize("version", ["go-v1-redigo", "go-v2-redigo"])
def test_what_a_worker_stores(version: str, fleet: DynamoDBFleet, dynamodb: DynamoDBServer) -> None:
    """Results of each type, none, several, failures: Go's items, attribute for attribute, texts byte for byte.

    Lists of strings have one more attribute, with their JSON.
    """
    floats = [1e20, 1e6, 999999.5, 1e-4, 1e-5, -0.0, 100.0, 1 / 3]
    tasks = [signature(f"echo_{kind}", (kind, value)) for kind, value in [*TYPES, *EMPTY]]
    tasks += [signature("echo_float64", ("float64", number)) for number in floats]
    tasks += [signature("echo_float32", ("float32", number)) for number in (0.1, 1e20, 1e-5, 33554432.0)]
    tasks += [signature("echo_[]int64", ("[]int64", None)), signature("noop"), *(task for task, _ in FAILURES)]
    tasks.append(signature("return_multiple_values", ("string", "a"), ("string", ""), ("bool", False)))

    stored, exact = [], []
    for kind in (version, "python"):
        fleet.worker(kind)
        producer = fleet.producer("python", kind)
        items = [final(dynamodb, uuid) for uuid in [producer.send_task(task) for task in tasks]]
        for item in items:
            assert abs(int(item["TTL"]["N"]) - time.time() - 3600) < 60
            del item["TaskUUID"]
            results = [result["M"] for result in item["Results"].get("L", ())]
            exact += [(kind, each["Type"]["S"], each.pop("GmpyJSON")["S"]) for each in results if "GmpyJSON" in each]
        stored.append([plain(item) for item in items])

    theirs, ours = stored
    assert ours == theirs
    assert [(kind, of) for kind, of, _ in exact] == [("python", "[]string")] * 2
    assert [json.loads(text) for *_, text in exact] == [SCALARS["string"], []]


# -- chords --


def test_chords_fire_once(fleet: DynamoDBFleet, dynamodb: DynamoDBServer, stack: contextlib.ExitStack) -> None:
    """Of 200 chords of 8 with two Python workers each callback is sent once, with every member's result."""
    queue, chords, members = "chords", 200, 8
    producer = fleet.producer("python", queue)
    for number in range(2):
        fleet.start_worker("python", stack, queue=queue, record_key="test:chords", tag=f"w{number}")
    with ThreadPoolExecutor(4) as threads:
        sent = list(
            threads.map(
                lambda number: producer.send_chord(
                    *(concat(str(place)) for place in range(members)),
                    callback=signature("record", ("string", f"chord-{number}")),
                ),
                range(chords),
            )
        )

    client = fleet.redis.client
    wait_until(lambda: client.llen("test:chords") >= chords, 60, "every callback")
    wait_until(lambda: client.llen(queue) == 0, 10, "nothing more waits")
    # In the group's order, whichever was done first.
    arguments = "|".join(str(place) for place in range(members))
    records = [line.decode().split("|", 1) for line in client.lrange("test:chords", 0, -1)]
    assert sorted(line for _, line in records) == sorted(f"chord-{number}|{arguments}" for number in range(chords))
    assert {tag for tag, _ in records} == {"w0", "w1"}
    assert all(dynamodb.group(each.group_uuid)["ChordTriggered"] == {"BOOL": True} for each in sent[:20])


def test_chords_of_a_mixed_fleet(fleet: DynamoDBFleet, stack: contextlib.ExitStack) -> None:
    """Go v1, Go v2 and Python do the members of the same chords: each callback comes, with every member's text."""
    queue, chords = "mixed", 30
    for kind in ("go-v1-redigo", "go-v2-redigo", "python"):
        fleet.start_worker(kind, stack, queue=queue, record_key="test:mixed", tag=kind, concurrency=3)
    producers = [fleet.producer(kind, queue) for kind in ("go-v1-redigo", "go-v2-redigo", "python")]
    for number in range(chords):
        members = [concat(str(place)) for place in range(6)]
        callback = signature("record", ("string", f"chord-{number}"))
        producers[number % 3].send_chord(*members, callback=callback)

    def records() -> set[tuple[str, str]]:
        lines = [line.decode().split("|")[1:] for line in fleet.redis.client.lrange("test:mixed", 0, -1)]
        # A Go worker may fire a chord again, and puts the texts into any order.
        return {(name, "".join(sorted(texts))) for name, *texts in lines}

    wait_until(lambda: len({name for name, _ in records()}) == chords, 30, "every callback")
    assert records() == {(f"chord-{number}", "012345") for number in range(chords)}


def test_a_large_group(fleet: DynamoDBFleet) -> None:
    """A chord of 105 members, whose states are read in batches of 99."""
    pair = Pair(fleet, "python", "python")
    assert pair.worker.alive

    chord = pair.producer.send_chord(*(concat(f"{n},") for n in range(105)), callback=concat(">"))

    assert values(pair.producer, *chord.all) == [">" + "".join(f"{n}," for n in range(105))]


def test_results_are_listed_and_copied(dynamodb: DynamoDBServer, redis_server: RedisServer) -> None:
    """``results copy``: from Redis by name, with the group's members, and everything back; names and times stay."""
    states = [TaskState(f"task_{number}", "add", "SUCCESS", [TaskResult("string", "x")]) for number in range(3)]
    meta = GroupMeta("group_copied", [state.task_uuid for state in states])
    for state in states:
        redis_server.client.set(state.task_uuid, encode_task_state(state), ex=100)
    redis_server.client.set(meta.group_uuid, encode_group_meta(meta), ex=100)
    assert dynamodb.task("task_0") is None

    there = gomachinery("results", "copy", "group_copied", "--from", redis_server.url(), "--to", URL)
    assert there == (0, "3 states and 1 groups copied, 0 were there already\n", "")
    redis_server.flush()
    code, _, error = gomachinery("results", "copy", "--all", "--from", URL, "--to", redis_server.url())
    assert (code, error) == (0, "")

    for state in states:
        copied = decode_task_state(redis_server.client.get(state.task_uuid))
        assert (copied.task_name, copied.state, copied.results) == ("add", "SUCCESS", state.results)
    assert decode_group_meta(redis_server.client.get("group_copied")).task_uuids == meta.task_uuids
