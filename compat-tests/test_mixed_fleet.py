"""One queue, served by Go v1, Go v2 and two Python workers at once, filled by producers of all three kinds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.go_producer import Sent
from harness.process import wait_until
from harness.python_producer import PythonProducer
from harness.redis_server import RedisServer
from harness.signatures import Document, signature

QUEUE = "machinery_tasks"
TAGS = {"go-v1", "go-v2", "python-1", "python-2"}
SINGLES, DELAYED, CHORDS, MEMBERS, CHAINS, LINKS = 350, 50, 20, 9, 17, 4
DONE_SECONDS = 120.0


def record(*parts: object, **fields: object) -> Document:
    return signature("record", *(("string", str(part)) for part in parts), **fields)


@dataclass
class Plan:
    """What one producer sends, and what was sent."""

    name: str
    producer: Any
    singles: list[str] = field(default_factory=list)
    chords: list[Sent] = field(default_factory=list)
    chains: list[Sent] = field(default_factory=list)
    sums: list[Sent] = field(default_factory=list)

    def send(self) -> None:
        """Tasks, delayed ones among them, chords and chains in turn, so that all are under way at the same time."""
        for number in range(SINGLES):
            self.singles.append(self.producer.send_task(record(self.name, "single", number)))
            if number < DELAYED:
                eta = datetime.now(UTC) + timedelta(milliseconds=200)
                late = record(self.name, "delayed", number, ETA=eta.isoformat())
                self.singles.append(self.producer.send_task(late))
            if number < CHORDS:
                members = [record(self.name, "member", number, place) for place in range(MEMBERS)]
                callback = record(self.name, "callback", number)
                self.chords.append(self.producer.send_chord(*members, callback=callback))
                added = [signature("add", ("int64", number), ("int64", place)) for place in range(MEMBERS)]
                self.sums.append(self.producer.send_chord(*added, callback=signature("add")))
            if number < CHAINS:
                links = [record(self.name, "link", number, place) for place in range(LINKS)]
                self.chains.append(self.producer.send_chain(*links))

    @property
    def expected(self) -> list[str]:
        """What the tasks of this plan record, each once."""
        parts: list[tuple[object, ...]] = [("single", number) for number in range(SINGLES)]
        parts += [("delayed", number) for number in range(DELAYED)]
        for number in range(CHORDS):
            parts += [("member", number, place) for place in range(MEMBERS)] + [("callback", number)]
        parts += [("link", number, place) for number in range(CHAINS) for place in range(LINKS)]
        return ["|".join(map(str, (self.name, *each))) for each in parts]


@pytest.fixture
def plans(redis_server: RedisServer, go_producer: Callable[..., Any]) -> list[Plan]:
    """A plan for each kind of producer: together more than 2,000 recorded tasks."""
    python = PythonProducer(redis_server.url(), QUEUE, "")
    return [Plan("v1", go_producer("v1")), Plan("v2", go_producer("v2")), Plan("py", python)]


def test_each_task_is_done_once(
    plans: list[Plan], redis_server: RedisServer, go_worker: Callable[..., Any], python_worker: Callable[..., Any]
) -> None:
    """2,000 tasks, delayed ones, chords and chains among them: each is done once, and every worker did some."""
    go = [go_worker(version, tag=f"go-{version}", concurrency=3) for version in ("v1", "v2")]
    python = [python_worker(tag=f"python-{number}", concurrency=3) for number in (1, 2)]
    expected = sorted(line for plan in plans for line in plan.expected)
    assert len(expected) > 2000

    with ThreadPoolExecutor() as threads:
        list(threads.map(Plan.send, plans))
    client = redis_server.client
    wait_until(lambda: client.llen("test:records") >= len(expected), DONE_SECONDS, f"{len(expected)} records")
    for plan in plans:
        for number, chord in enumerate(plan.sums):
            [total] = plan.producer.get(*chord.all)
            assert total.value == sum(number + place for place in range(MEMBERS))
    plans[-1].producer.close()

    # What is still under way comes to its end before anything is counted.
    assert [worker.stop() for worker in python] == [0, 0]
    assert client.llen(QUEUE) == 0
    assert client.keys("{*}:gmpy:inflight:*") == []
    assert [(worker.alive, worker.restarts) for worker in go] == [(True, 0)] * 2
    records = [line.decode().split("|", 1) for line in client.lrange("test:records", 0, -1)]
    assert sorted(line for _, line in records) == expected
    assert {tag for tag, _ in records} == TAGS
    assert states(redis_server, plans) == {"SUCCESS"}
    check_both_sides(records)


def states(redis_server: RedisServer, plans: list[Plan]) -> set[str]:
    """The states of all tasks that were sent."""
    uuids = [uuid for plan in plans for uuid in plan.singles]
    uuids += [uuid for plan in plans for sent in (*plan.chords, *plan.chains, *plan.sums) for uuid in sent.all]
    return {json.loads(document)["State"] for document in redis_server.client.mget(uuids)}


def check_both_sides(records: list[list[str]]) -> None:
    """Chords and chains went back and forth between Go and Python, and links ran in order."""
    sides: dict[tuple[str, ...], set[str]] = {}
    order: dict[tuple[str, ...], list[int]] = {}
    for tag, line in records:
        producer, kind, number, *place = line.split("|")
        workflow = (producer, "chain" if kind == "link" else "chord", number)
        if kind in ("member", "callback", "link"):
            sides.setdefault(workflow, set()).add(tag[:2])
        if kind == "link":
            order.setdefault(workflow, []).append(int(place[0]))

    mixed = Counter(workflow[1] for workflow, both in sides.items() if both == {"go", "py"})
    assert min(mixed["chord"], mixed["chain"]) > 0
    assert all(places == list(range(LINKS)) for places in order.values())
