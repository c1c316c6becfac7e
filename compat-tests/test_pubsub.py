"""Pub/Sub as the broker, with Redis as the result store: what is published, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import short_directory
from harness.normalise import Names
from harness.process import wait_until
from harness.pubsub_fleet import PubSubFleet
from harness.pubsub_server import PubSubServer
from harness.redis_server import RedisServer
from harness.scenarios import FUTURE, PRODUCER, WORKER, Scenario

KINDS = ("v1", "v2", "python")


@pytest.fixture(scope="module")
def fleet(pubsub: PubSubServer) -> Iterator[PubSubFleet]:
    """A worker of every kind in projects of their own, and a Redis for their results."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with PubSubFleet(pubsub, redis, directory) as fleet:
            yield fleet
        redis.stop()


# Go's publisher waits for an ETA itself, here until 2099. Its variant with a context gives every task headers.
SENT = [each for each in PRODUCER if not each.with_context and all(task.get("ETA") != FUTURE for task in each.tasks)]
# What a worker sends on. Go's ends with a panic, an argument error stops its consumer: both are said elsewhere.
WORKED = [each for each in WORKER if each.typed and each.final and not each.stops_consumer]


def send(producer: Any, scenario: Scenario) -> None:
    """Send a scenario as a producer of either kind does it."""
    if scenario.kind == "chord":
        producer.send_chord(*scenario.tasks, callback=scenario.callback, typed=True)
    else:
        getattr(producer, f"send_{scenario.kind}")(*scenario.tasks, typed=True)


def told(messages: list[Any]) -> list[tuple[str, dict[str, str], str]]:
    """Messages as they are compared: bytes with UUIDs and times named, attributes and ordering key as they are."""
    names = Names()
    return [(names.text(each.data.decode()), dict(each.attributes), each.ordering_key) for each in messages]


@pytest.fixture(scope="module")
def senders(fleet: PubSubFleet) -> dict[str, Any]:
    """A producer of each kind, in a project where no worker is."""
    for kind in KINDS:
        fleet.urls(f"sent-{kind}")
        fleet.pubsub.make_queue(f"sent-{kind}", "other_queue", "other")
    return {kind: fleet.producer_in(kind, f"sent-{kind}") for kind in KINDS}


@pytest.mark.parametrize("scenario", SENT, ids=lambda scenario: scenario.name)
def test_messages_are_byte_for_byte_those_of_go(
    fleet: PubSubFleet, senders: dict[str, Any], scenario: Scenario
) -> None:
    """For the same call our producer publishes the same bytes, without attributes, to the same topics as Go's."""
    published = {}
    for kind, producer in senders.items():
        send(producer, scenario)
        default, other = (fleet.pubsub.take(f"sent-{kind}", name) for name in ("machinery_worker", "other"))
        published[kind] = (told(default), told(other))

    assert published["python"] == published["v1"] == published["v2"]
    assert len(published["python"][0]) + len(published["python"][1]) >= 1


def test_what_a_worker_sends_on_is_that_of_go(fleet: PubSubFleet) -> None:
    """Retries, callbacks and chords leave our worker as the bytes that leave Go's."""
    producers: dict[str, Any] = {}
    for db, kind in enumerate(KINDS, start=1):
        project = f"worked-{kind}"
        fleet.urls(project)
        fleet.pubsub.subscribe(project, "machinery_tasks", "tap")
        fleet.start_worker(kind, project, concurrency=1, backend=fleet.redis.url(db))
        producers[kind] = fleet.producer_in("v2", project, db=db)
    for scenario in WORKED:
        for producer in producers.values():
            send(producer, scenario)
        published = {
            kind: sorted(told(_all_done(fleet, f"worked-{kind}", db, scenario)))
            for db, kind in enumerate(KINDS, start=1)
        }

        assert published["python"] == published["v1"] == published["v2"], scenario.name


def _all_done(fleet: PubSubFleet, project: str, db: int, scenario: Scenario) -> list[Any]:
    """Every message of a scenario, once its tasks have come to their ends; nothing of it is left then."""
    found: list[Any] = []

    def done() -> bool:
        found.extend(fleet.pubsub.take(project, "tap"))
        uuids = {json.loads(each.data)["UUID"] for each in found}
        states = [json.loads(client.get(uuid) or b"{}").get("State") for uuid in uuids]
        return sum(state in ("SUCCESS", "FAILURE") for state in states) == scenario.final == len(uuids)

    with fleet.redis.connect(db) as client:
        wait_until(done, 20, f"all tasks of {scenario.name} done")
        # A retry that came between looking for messages and looking at states.
        found.extend(fleet.pubsub.take(project, "tap"))
        # Some name their UUIDs, which the next one may too.
        client.flushdb()
    return found
