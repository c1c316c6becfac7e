"""The conformance suite: every broker with Redis results, every result store with a Redis broker, AMQP with AMQP.

Each case runs for each subject and each pair of producer and worker, so that all of them have to agree on one
expectation. What Go itself cannot do on a store is in fixtures/known-divergence.txt.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.command_line import gomachinery
from harness.conformance import SUBJECTS, ConformanceFleet, ConformancePair, Subject
from harness.go_producer import GoError, GoTaskFailed
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.signatures import signature
from harness.suite import run_suite
from test_both_ways import BYTES, FAILURES, SCALARS, told, values

LATE_SECONDS = 5.0
CHORDS, MEMBERS = 40, 8
CHORD_SECONDS = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each subject with its pairs, all of one subject in one process."""
    if "pair" in metafunc.fixturenames:
        both = [(subject, pair) for subject in SUBJECTS for pair in subject.pairs]
        params = [_param(subject, pair, name=f"{subject}-{'-to-'.join(pair)}") for subject, pair in both]
        metafunc.parametrize(("fleet", "pair"), params, indirect=True, scope="module")
    else:
        # Machinery's own checks read results with Go.
        subjects = [each for each in SUBJECTS if "version" not in metafunc.fixturenames or len(each.pairs) > 1]
        params = [_param(subject, name=str(subject)) for subject in subjects]
        metafunc.parametrize("fleet", params, indirect=True, scope="module")


def _param(subject: Subject, *more: Any, name: str) -> Any:
    return pytest.param(subject, *more, marks=pytest.mark.xdist_group(str(subject)), id=name)


@pytest.fixture(scope="module")
def fleet(request: Any) -> Iterator[ConformanceFleet]:
    """A worker of every kind on a broker and a result store."""
    with short_directory() as directory, ConformanceFleet(request.param, directory) as fleet:
        yield fleet


@pytest.fixture
def pair(request: Any, fleet: ConformanceFleet) -> Iterator[ConformancePair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = ConformancePair(fleet, *request.param)
    worker = pair.worker
    yield pair
    assert worker.alive, worker.failed("ended")
    assert not isinstance(worker, GoWorker) or worker.restarts == 0, worker.failed("started over")


def test_each_type(pair: ConformancePair) -> None:
    """Every scalar at its limits and a slice of every type come back as they went, with Go's type name."""
    cases: list[tuple[str, Any]] = [(kind, value) for kind, several in SCALARS.items() for value in several]
    cases += [(f"[]{kind}", several) for kind, several in SCALARS.items() if kind != "uint8"]
    cases += [("[]uint8", BYTES)]

    sent = [pair.producer.send_task(signature(f"echo_{kind}", (kind, value)), typed=True) for kind, value in cases]

    for uuid, case in zip(sent, cases, strict=True):
        if pair.can_read(case[0]):
            assert told(pair.producer, uuid) == [case]
        else:
            with pytest.raises((GoError, GoTaskFailed), match=" is not "):
                pair.producer.get(uuid)


def test_failures(pair: ConformancePair) -> None:
    """An error, a panic of each kind and a call that does not fit fail with the same text on either side."""
    sent = [pair.producer.send_task(task, typed=True) for task, _ in FAILURES]

    texts = []
    for uuid in sent:
        with pytest.raises(GoTaskFailed) as caught:
            pair.producer.get(uuid)
        texts.append(str(caught.value))

    assert texts == [text for _, text in FAILURES]


def test_waiting(pair: ConformancePair) -> None:
    """A task with an ETA runs then and never early; a retry and RetryTaskLater come again later."""
    moments = [datetime.now(UTC) + timedelta(milliseconds=ahead) for ahead in (300, 700)]
    sent = [pair.producer.send_task(signature("nano_time", ETA=moment.isoformat())) for moment in moments]
    retried = pair.producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=3), typed=True)
    later = pair.producer.send_task(
        signature("retry_later", ("string", "busy"), ("int64", 150), ("int64", 2), RetryCount=0), typed=True
    )

    for uuid, moment in zip(sent, moments, strict=True):
        [ran] = values(pair.producer, uuid)
        # Go's AMQP producer cuts the delay to whole milliseconds.
        assert -0.001 <= ran / 1e9 - moment.timestamp() < LATE_SECONDS
    assert values(pair.producer, later) == [3]
    assert values(pair.producer, retried) == [2]


def test_workflows(pair: ConformancePair) -> None:
    """A chain passes its results on, a group's members all run, a chord's callback gets every member's result."""
    producer = pair.producer
    add = [signature("add", ("int64", number)) for number in range(1, 6)]

    chain = producer.send_chain(add[1], add[2], signature("multiply", ("int64", 10)), typed=True)
    group = producer.send_group(*add, typed=True)
    chord = producer.send_chord(*add, callback=signature("add", ("int64", 100)), typed=True)

    assert values(producer, *chain.all) == [50]
    assert sorted(values(producer, uuid)[0] for uuid in group.uuids) == [1, 2, 3, 4, 5]
    assert values(producer, *chord.all) == [115]


def test_callbacks_and_headers(pair: ConformancePair) -> None:
    """OnError gets the error's text, OnSuccess the result; a task sees the headers that it was sent with."""
    producer = pair.producer
    on_error = signature("concat", ("string", "!"), UUID=f"error-{time.time_ns()}")
    producer.send_task(signature("fail", ("string", "bad luck"), OnError=[on_error]), typed=True)
    headers = {"trace": "00-abc", "text": "ż"}
    seen = producer.send_task(signature("context_signature", Headers=headers, Priority=3))

    assert values(producer, on_error["UUID"]) == ["bad luck!"]
    if pair.can_read("json"):
        assert '"Headers":{"text":"ż","trace":"00-abc"}' in values(producer, seen)[0]
    else:
        with pytest.raises((GoError, GoTaskFailed), match="json is not one of supported types"):
            producer.get(seen)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_machinerys_own_checks(version: str, fleet: ConformanceFleet) -> None:
    """Machinery's integration checks pass with a Python worker: tasks, groups, chord, chain, errors, panic, delay."""
    worker = fleet.worker("python")

    code, output = run_suite(version, **fleet.go_settings(fleet.broker.place("python")))

    assert code == 0, f"{output}\nthe worker's log ends:\n{worker.log[-2000:]}"
    assert "--- PASS: TestExternalWorker" in output
    assert worker.alive


def test_chords_fire_once(fleet: ConformanceFleet, stack: ExitStack) -> None:
    """Two Python workers that end the members of many chords at the same time send each callback once."""
    producer = fleet.producer("python", "python")
    fleet.worker("python")
    stack.callback(fleet.start_worker("python").kill)
    expected = Counter(f"python-worker|chord|{number}" for number in range(CHORDS))
    expected["python-worker|last"] = 1

    def recorded() -> Counter[str]:
        return Counter(line.decode() for line in fleet.records.client.lrange("test:records", 0, -1))

    fleet.records.client.delete("test:records")
    for number in range(CHORDS):
        callback = signature("record", ("string", "chord"), ("string", str(number)), Immutable=True)
        producer.send_chord(*[signature("noop") for _ in range(MEMBERS)], callback=callback)
    wait_until(lambda: len(recorded()) >= CHORDS, CHORD_SECONDS, f"{CHORDS} callbacks")
    # Whatever was sent twice is before it in the queue.
    last = producer.send_task(signature("record", ("string", "last")))
    assert values(producer, last) == []

    assert recorded() == expected


def test_command_line(fleet: ConformanceFleet, tmp_path: Path) -> None:
    """A configuration file with nothing but URLs and a queue is enough to send, to wait and to look."""
    fleet.worker("python")
    place = fleet.broker.place("python")
    file = tmp_path / "config.yml"
    settings = {"broker": place.broker, "result_backend": fleet.store.store(place), "default_queue": place.queue}
    file.write_text(json.dumps(settings), encoding="utf-8")

    assert gomachinery("send", "add", "20", "22", "--wait", "20", "--config", str(file)) == (0, "42\n", "")
    code, out, error = gomachinery("queue", "ls", place.queue, "--json", "--config", str(file))
    assert (code, error, json.loads(out)["queue"]) == (0, "", place.queue)
