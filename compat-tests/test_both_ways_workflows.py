"""Python → Go and Go → Python, v1 and v2: chains, groups, chords and callbacks, for every pair of ``harness.fleet``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.fleet import Pair, Producer
from harness.go_producer import GoTaskFailed
from harness.process import wait_until
from harness.signatures import Document, signature


def values(producer: Producer, *uuids: str) -> list[Any]:
    return [result.value for result in producer.get(*uuids)]


def add(*numbers: int, **fields: object) -> Document:
    return signature("add", *(("int64", number) for number in numbers), **fields)


def concat(*parts: str, **fields: object) -> Document:
    return signature("concat", *(("string", part) for part in parts), **fields)


def test_chain(pair: Pair) -> None:
    """Each result is appended to the next task's arguments: add(2, 2), add(5, 6, 4), multiply(4, 15) is 60."""
    sent = pair.producer.send_chain(add(2, 2), add(5, 6), signature("multiply", ("int64", 4)), typed=True)

    assert values(pair.producer, *sent.all) == [60]
    assert [values(pair.producer, uuid) for uuid in sent.uuids] == [[4], [15], [60]]


def test_immutable_chain(pair: Pair) -> None:
    """The flag that counts is the finished task's: an immutable one passes nothing on."""
    tasks = [add(2, 2, Immutable=True), add(5, 6), add(7, Immutable=True), add(1)]

    sent = pair.producer.send_chain(*tasks, typed=True)

    assert values(pair.producer, *sent.all) == [1]
    assert [values(pair.producer, uuid) for uuid in sent.uuids] == [[4], [11], [18], [1]]


def test_chain_of_any_results(pair: Pair) -> None:
    """Several results are appended in order, none appends none, and bytes arrive as bytes."""
    two = signature("return_multiple_values", ("string", "b"), ("string", "ż"), ("bool", False))
    texts = pair.producer.send_chain(signature("noop"), two, concat("a", "-"), typed=True)
    encoded = signature("echo_[]byte", ("[]byte", "AP8="))
    binary = pair.producer.send_chain(encoded, signature("echo_[]uint8"), signature("echo_[]byte"), typed=True)

    assert values(pair.producer, *texts.all) == ["a-bż"]
    assert [(result.type, result.value) for result in pair.producer.get(*binary.all)] == [("[]uint8", "AP8=")]


def test_a_broken_chain(pair: Pair) -> None:
    """What follows a task that failed never runs, and waiting for the chain tells the text at once."""
    sent = pair.producer.send_chain(add(1), signature("fail", ("string", "broken")), add(2), typed=True)

    with pytest.raises(GoTaskFailed, match=r"^reflect: Call with too many input arguments$"):
        pair.producer.get(*sent.all)
    values(pair.producer, pair.producer.send_task(signature("noop")))
    assert pair.redis.client.get(sent.uuids[2]) is None


def test_group(pair: Pair) -> None:
    """Members run by themselves; one that fails leaves the others alone; a group of one is a group."""
    producer = pair.producer
    group = producer.send_group(add(1, 1), signature("fail", ("string", "bad")), add(5, 6), typed=True)
    single = producer.send_group(add(3), typed=True)

    assert [values(producer, uuid) for uuid in (group.uuids[0], group.uuids[2], *single.uuids)] == [[2], [11], [3]]
    with pytest.raises(GoTaskFailed, match=r"^bad$"):
        producer.get(group.uuids[1])
    meta = json.loads(pair.redis.client.get(group.group_uuid))
    assert (meta["GroupUUID"], meta["TaskUUIDs"]) == (group.group_uuid, group.uuids)


def test_chord(pair: Pair) -> None:
    """Every result becomes an argument of the callback: multiply(2, 4, 11) is 88; the group is then triggered."""
    producer = pair.producer
    chord = producer.send_chord(add(1, 1), add(2, 2), add(5, 6), callback=signature("multiply"), typed=True)

    assert values(producer, *chord.all) == [88]
    assert json.loads(pair.redis.client.get(chord.group_uuid))["ChordTriggered"] is True


def test_immutable_chord(pair: Pair) -> None:
    """A callback that is immutable gets its own arguments only."""
    chord = pair.producer.send_chord(add(1, 1), add(2, 2), callback=add(7, Immutable=True), typed=True)

    assert values(pair.producer, *chord.all) == [7]


def test_chord_of_a_hundred(pair: Pair) -> None:
    """The callback of a hundred members runs once, with all results in the group's order, own arguments first."""
    members = [concat(f"{number},") for number in range(100)]
    # The first ones end last.
    soon = (datetime.now(UTC) + timedelta(milliseconds=300)).isoformat()
    for member in members[:3]:
        member["ETA"] = soon

    chord = pair.producer.send_chord(*members, callback=concat("all:"), typed=True)

    assert values(pair.producer, *chord.all) == ["all:" + "".join(f"{number}," for number in range(100))]


def test_a_chord_with_retries_and_several_results(pair: Pair) -> None:
    """Members that fail first and succeed later count, and each of a member's results is an argument."""
    two = signature("return_multiple_values", ("string", "b"), ("string", "c"), ("bool", False))
    later = signature("retry_later", ("string", "busy"), ("int64", 20), ("int64", 1), Immutable=True)
    members = [two, concat("d"), signature("noop")]

    texts = pair.producer.send_chord(*members, callback=concat("a"), typed=True)
    numbers = pair.producer.send_chord(later, add(1), callback=add(), typed=True)

    assert values(pair.producer, *texts.all) == ["abcd"]
    assert values(pair.producer, *numbers.all) == [3]


def test_a_chord_with_a_failed_member_never_fires(pair: Pair) -> None:
    """The group completes, the callback is never sent, and waiting for the chord tells the member's text."""
    producer = pair.producer
    chord = producer.send_chord(
        add(1), signature("fail", ("string", "bad")), add(2), callback=signature("multiply"), typed=True
    )

    with pytest.raises(GoTaskFailed, match=r"^bad$"):
        producer.get(*chord.all)
    assert [values(producer, chord.uuids[place]) for place in (0, 2)] == [[1], [2]]
    values(producer, producer.send_task(signature("noop")))
    assert pair.redis.client.get(chord.callback_uuid) is None


def test_on_success_and_on_error(pair: Pair) -> None:
    """OnSuccess gets the results behind its arguments, OnError the text before them; the other is not sent."""
    producer = pair.producer
    good, bad = (f"task_{kind}_{pair.producer_kind}_{pair.worker_kind}" for kind in ("good", "bad"))
    success = [concat("after ", UUID=f"{good}_1"), concat("also ", UUID=f"{good}_2"), concat(UUID=f"{good}_3")]

    def error(base: str) -> list[Document]:
        return [concat(" seen", UUID=f"{base}_error"), signature("noop", Immutable=True, UUID=f"{base}_noop")]

    first = producer.send_task(concat("it", OnSuccess=success, OnError=error(good)), typed=True)
    second = producer.send_task(
        signature("fail", ("string", "bad <luck>"), OnSuccess=[concat(UUID=f"{bad}_success")], OnError=error(bad)[:1]),
        typed=True,
    )

    assert values(producer, first) == ["it"]
    assert [values(producer, f"{good}_{number}") for number in (1, 2, 3)] == [["after it"], ["also it"], ["it"]]
    with pytest.raises(GoTaskFailed, match=r"^bad <luck>$"):
        producer.get(second)
    wait_until(lambda: pair.redis.client.exists(f"{bad}_error"), 30, "the error callback")
    assert values(producer, f"{bad}_error") == ["bad <luck> seen"]
    assert pair.redis.client.exists(f"{bad}_success", f"{good}_error", f"{good}_noop") == 0


def test_on_success_of_an_immutable_task(pair: Pair) -> None:
    """All callbacks of an immutable task get their own arguments only."""
    base = f"task_plain_{pair.producer_kind}_{pair.worker_kind}"
    callbacks = [concat("own", UUID=f"{base}_1"), signature("noop", UUID=f"{base}_2")]

    values(pair.producer, pair.producer.send_task(concat("it", Immutable=True, OnSuccess=callbacks), typed=True))
    wait_until(lambda: pair.redis.client.exists(f"{base}_1", f"{base}_2") == 2, 30, "both callbacks")

    assert values(pair.producer, f"{base}_1") == ["own"]
    assert values(pair.producer, f"{base}_2") == []


def test_callbacks_go_to_their_own_queue(pair: Pair) -> None:
    """A callback's routing key is kept, whoever sends it; without one it goes to the worker's default queue."""
    queue = f"elsewhere-{pair.producer_kind}-{pair.worker_kind}"
    task = concat("it", OnSuccess=[concat("there ", RoutingKey=queue)])

    values(pair.producer, pair.producer.send_task(task, typed=True))
    wait_until(lambda: pair.redis.client.llen(queue) == 1, 30, "a callback on its queue")

    document = json.loads(pair.redis.client.lindex(queue, 0))
    assert (document["RoutingKey"], [argument["Value"] for argument in document["Args"]]) == (queue, ["there ", "it"])
    assert json.loads(pair.redis.client.get(document["UUID"]))["State"] == "PENDING"
