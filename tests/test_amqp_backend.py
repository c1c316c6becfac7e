"""The AMQP result store on a model of queues: states, their reading, groups and chords."""

from __future__ import annotations

from typing import Any

import pytest
from amqp_double import QueuePort, flat

from gomachinery_py import Config, Signature, TaskState
from gomachinery_py.amqp_commands import PRECONDITION_FAILED, AMQPRefused, Int32
from gomachinery_py.backends.amqp import AMQPBackend
from gomachinery_py.effects import SystemClock, run
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable, WrongKeyType
from gomachinery_py.results import AsyncResult, GroupResult
from gomachinery_py.wire.model import FAILURE, PENDING, STARTED, SUCCESS


@pytest.fixture
def port() -> QueuePort:
    return QueuePort()


@pytest.fixture
def backend(port: QueuePort) -> AMQPBackend:
    return AMQPBackend.configured(port, SystemClock(), Config.of(results_expire_in=60))


def member(uuid: str) -> Signature:
    return Signature("x", uuid=uuid, group_uuid="g", group_task_count=2)


def finish(backend: AMQPBackend, uuid: str, state: str = SUCCESS) -> None:
    run(backend.store_all([TaskState(uuid, state=state)], member(uuid)))


def test_a_state_is_a_message_in_a_queue_of_its_task(backend: AMQPBackend) -> None:
    """The queue is not durable, deletes itself, and its arguments are 32-bit, as Go declares it."""
    _, declared, bound, published = flat(backend.state_commands(TaskState("task_1", state=PENDING)))

    arguments = declared[1]["arguments"]
    assert (declared[1]["queue"], declared[1]["durable"], declared[1]["auto_delete"]) == ("task_1", False, True)
    assert arguments == {"x-message-ttl": 60_000, "x-expires": 60_000}
    assert {type(value) for value in arguments.values()} == {Int32}
    assert (bound[1]["queue"], bound[1]["routing_key"]) == ("task_1", "task_1")
    assert published[1]["routing_key"] == "task_1"
    assert published[1]["properties"] == {"content_type": "application/json", "delivery_mode": 2}


def test_a_new_tasks_state_is_stored_in_one_go(backend: AMQPBackend, port: QueuePort) -> None:
    """Its queue cannot be there yet; that of a later state is, and is not bound again."""
    run(backend.store(TaskState("task_1", state=PENDING)))
    new = [name for name, _ in flat(port.sent)]
    port.sent.clear()
    run(backend.store(TaskState("task_1", state=STARTED)))
    known = [name for name, _ in flat(port.sent)]

    assert new == ["exchange_declare", "queue_declare", "queue_bind", "basic_publish"]
    assert known == ["exchange_declare", "queue_declare", "basic_publish"]


@pytest.mark.parametrize(
    ("state", "answered"), [(PENDING, False), (STARTED, False), (SUCCESS, "later"), (FAILURE, "later")]
)
def test_a_result_is_kept_for_its_whole_time(
    backend: AMQPBackend, port: QueuePort, state: str, answered: bool | str
) -> None:
    """Only a declaration that is waited for starts an unused queue's time again, and a result needs that."""
    run(backend.store(TaskState("task_1", state=state)))
    declared = next(fields for name, fields in port.sent if name == "queue_declare")
    assert declared.get("answered", False) == answered


def test_reading_takes_and_peeking_leaves(backend: AMQPBackend, port: QueuePort) -> None:
    """The latest state is returned; reading empties the queue, peeking does not."""
    run(backend.store_all([TaskState("t", state=PENDING), TaskState("t", state=STARTED)]))

    assert getattr(run(backend.peek_state("t")), "state", None) == STARTED
    assert len(port.queues["t"]) == 2
    assert getattr(run(backend.get_state("t")), "state", None) == STARTED
    assert run(backend.get_state("t")) is None
    assert run(backend.peek_state("nowhere")) is None
    assert run(backend.states(["t", "nowhere"])) == [None, None]


def test_what_was_taken_is_kept_whatever_comes_next(backend: AMQPBackend, port: QueuePort) -> None:
    """Results that are nowhere else any more survive an error that comes after their reading."""
    members = [AsyncResult[Any](uuid, backend, SystemClock()) for uuid in "abc"]
    group = GroupResult("g", members)
    for uuid in "abc":
        finish(backend, uuid)
    port.errors["take"] = [ServiceUnavailable("gone"), ServiceUnavailable("gone"), ServiceUnavailable("gone")]
    with pytest.raises(ServiceUnavailable):
        group.get(timeout=1)
    port.errors["queue_delete"] = [ServiceUnavailable("gone")]
    with pytest.raises(ServiceUnavailable):
        group.get(timeout=1)

    assert group.get(timeout=1) == [None, None, None]


def test_the_origin_must_be_this_tasks_state(backend: AMQPBackend, port: QueuePort) -> None:
    """A queue of tasks, or another task's states, is nobody's origin."""
    run(backend.store(TaskState("t", state=SUCCESS)))
    assert run(backend.origin("t")).state == SUCCESS
    port.queues["tasks"] = [b'{"UUID":"x","Name":"add"}']
    port.queues["bad"] = [b"{"]
    for name in ("tasks", "bad"):
        with pytest.raises(WrongKeyType, match=name):
            run(backend.origin(name))


@pytest.mark.parametrize("name", ["", "amq.x", "x" * 240])
def test_names_that_cannot_be_queues(backend: AMQPBackend, name: str) -> None:
    """Such a UUID is refused before anything is sent."""
    with pytest.raises(WrongKeyType, match="cannot be the name of a queue"):
        run(backend.store(TaskState(name, state=PENDING)))


def test_a_queue_with_other_arguments(backend: AMQPBackend, port: QueuePort, caplog: pytest.LogCaptureFixture) -> None:
    """Another expiry is told once and lived with; a queue that is no result's is left alone."""
    other = AMQPRefused("PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 't'", PRECONDITION_FAILED)
    durable = AMQPRefused("PRECONDITION_FAILED - inequivalent arg 'durable' for queue 't'", PRECONDITION_FAILED)
    port.queues["t"] = []
    port.bound["t"].add("t")
    for _ in range(2):
        port.errors["queue_declare"] = [other]
        port.sent.clear()
        run(backend.store(TaskState("t", state=PENDING)))
    assert [record.message for record in caplog.records] == [
        "results_expire_in is not the same everywhere; queues keep what they were made with"
    ]

    port.errors["queue_declare"] = [durable]
    with pytest.raises(WrongKeyType, match="is not one of a task's states"):
        run(backend.store(TaskState("t", state=PENDING)))
    port.errors["basic_publish"] = [AMQPRefused("full", 0)]
    with pytest.raises(ServiceError, match="full"):
        run(backend.store(TaskState("u", state=PENDING)))


def test_results_cannot_be_kept_longer_than_32_bits() -> None:
    """Go's milliseconds overflow there."""
    with pytest.raises(ConfigError, match="24 days"):
        AMQPBackend.configured(QueuePort(), SystemClock(), Config.of(results_expire_in=25 * 86_400))
    default = AMQPBackend.configured(QueuePort(), SystemClock(), Config.of(results_expire_in=0))
    assert default.results_expire_in == 3600


def test_a_group_is_complete_with_its_last_member(backend: AMQPBackend, port: QueuePort) -> None:
    """Every member's final state is in the group's queue; the last one claims all of them, in their order."""
    finish(backend, "b")
    assert run(backend.claim_group("g", 2)) is None
    run(backend.store_all([TaskState("a", state=STARTED)], member("a")))
    assert len(port.queues["g"]) == 1
    finish(backend, "a", FAILURE)

    claim = run(backend.claim_group("g", 2))

    assert claim is not None
    assert [(state.task_uuid, state.state) for state in claim.snapshot.states if state] == [
        ("b", SUCCESS),
        ("a", FAILURE),
    ]
    assert run(backend.claim_group("g", 2)) is None


def test_a_claim_that_is_given_up_can_be_claimed_again(backend: AMQPBackend) -> None:
    """Whoever comes next fires the chord; once it has fired, nobody does."""
    finish(backend, "a")
    finish(backend, "b")
    first = run(backend.claim_group("g", 2))
    assert first is not None
    run(backend.release_group(first, fired=False))

    second = run(backend.claim_group("g", 2))
    assert second is not None
    run(backend.release_group(second, fired=True))
    finish(backend, "a")
    finish(backend, "b")
    assert run(backend.claim_group("g", 2)) is None


def test_a_member_that_is_there_twice_counts_once(backend: AMQPBackend, port: QueuePort) -> None:
    """A member that ran again after a crash does not complete the group."""
    finish(backend, "a")
    finish(backend, "a")
    assert run(backend.claim_group("g", 2)) is None
    assert (len(port.queues["g"]), port.claimed) == (2, {})
    finish(backend, "b")
    assert run(backend.claim_group("g", 2)) is not None
