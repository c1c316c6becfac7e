"""The SQS broker as plain commands: what is sent, received, held back and refused, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqs_double import AnsweringPort, MovedClock

from gomachinery_py import Config, Server, Signature
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.sqs import SQSBroker
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError, PublishError, ServiceError, SignatureError
from gomachinery_py.golang.time import Time
from gomachinery_py.sqs_commands import ACCESS_DENIED, NO_SUCH_QUEUE, SQSRefused
from gomachinery_py.wire import encode_signature

BASE = "https://sqs.eu-west-1.amazonaws.com/123456789012"
QUEUE = f"{BASE}/machinery_tasks"


def make_broker(**settings: Any) -> tuple[SQSBroker, AnsweringPort, MovedClock]:
    port, clock = AnsweringPort(), MovedClock()
    broker = SQSBroker.configured(port, clock, Config.of(**{"broker": f"{BASE}/", **settings}))
    return broker, port, clock


def ahead(clock: MovedClock, seconds: float) -> Time:
    return Time.from_unix_ns(clock.unix_ns() + round(seconds * 1_000_000_000))


def message(body: bytes, number: int = 1, received: int = 1) -> dict[str, Any]:
    return {
        "MessageId": f"message-{number}",
        "ReceiptHandle": f"receipt-{number}-{received}",
        "Body": body.decode(),
        "Attributes": {"ApproximateReceiveCount": str(received), "SentTimestamp": "1"},
    }


def fetched(broker: SQSBroker, port: AnsweringPort, *messages: dict[str, Any], wait: float = 1.0) -> list[Delivery]:
    port.answers["ReceiveMessage"].append({"Messages": list(messages)})
    return run(broker.fetch("machinery_tasks", "me", 20, wait))


def test_a_body_is_written_before_the_routing_key() -> None:
    """As in Go, the body of a default task names no queue; its URL does."""
    broker, _, _ = make_broker()
    signature = Signature("add", uuid="task_1")
    body = encode_signature(signature).decode()

    assert broker.publish_commands(signature) == [("SendMessage", {"MessageBody": body, "QueueUrl": QUEUE})]
    assert '"RoutingKey":""' in body
    assert signature.routing_key == "machinery_tasks"


@pytest.mark.parametrize(
    ("seconds", "delay"), [(-5.0, None), (0.0, None), (1e-9, 1), (1.0, 1), (1.000000001, 2), (899.1, 900), (900.0, 900)]
)
def test_delays_are_rounded_up(seconds: float, delay: int | None) -> None:
    """A task becomes visible at its ETA or after it."""
    broker, _, clock = make_broker()

    [(_, fields)] = broker.publish_commands(Signature("add", eta=ahead(clock, seconds)))

    assert fields.get("DelaySeconds") == delay


def test_more_than_fifteen_minutes() -> None:
    """A new task is refused with Go's text; a retry waits 15 minutes and is held back for the rest."""
    broker, _, clock = make_broker()
    late = Signature("add", eta=ahead(clock, 900.000000001))
    with pytest.raises(SignatureError, match=r"^Max AWS SQS delay exceeded$"):
        broker.publish_commands(late)

    late.sqs_receipt_handle = "receipt"
    [(_, fields)] = broker.publish_commands(late)
    assert fields["DelaySeconds"] == 900


def test_fifo() -> None:
    """The UUID is the deduplication id, a group is needed, and an ETA is no delay."""
    broker, _, clock = make_broker(default_queue="machinery.fifo")
    with pytest.raises(SignatureError, match="please specify BrokerMessageGroupId attribute for task Signature when"):
        broker.publish_commands(Signature("add", uuid="task_1"))
    signature = Signature("add", uuid="task_1", broker_message_group_id="g", eta=ahead(clock, 5000))

    [(_, fields)] = broker.publish_commands(signature)

    del fields["MessageBody"]
    assert fields == {
        "QueueUrl": f"{BASE}/machinery.fifo",
        "MessageDeduplicationId": "task_1",
        "MessageGroupId": "g",
    }


def test_a_retry_is_no_duplicate() -> None:
    """A retry on a FIFO queue has an id of its own, the same when the same message is retried once more."""
    broker, port, _ = make_broker()
    port.answers["ReceiveMessage"] += [
        {"Messages": [message(encode_signature(Signature("add", uuid="task_1")), 1, received)]} for received in (1, 2)
    ]
    ids = []
    for _ in range(2):
        [delivery] = run(broker.fetch("m.fifo", "me", 20, 1.0))
        signature = Signature("add", uuid="task_1", routing_key="m.fifo", broker_message_group_id="g")
        broker.received(delivery, signature)
        [(_, fields)] = broker.publish_commands(signature)
        ids.append(fields["MessageDeduplicationId"])
    assert ids == ["task_1:message-1"] * 2

    signature.sqs_receipt_handle = "of another worker"
    [(_, fields)] = broker.publish_commands(signature)
    assert fields["MessageDeduplicationId"] not in ("task_1", *ids)
    signature.uuid = "x" * 129
    [(_, fields)] = broker.publish_commands(signature)
    assert len(fields["MessageDeduplicationId"]) == 64


def test_batches() -> None:
    """Ten messages or 256 KiB share a request; queues are kept apart, the order of each is kept."""
    broker, port, _ = make_broker()
    small = [Signature(f"t{number}", routing_key="b" if number % 3 == 0 else "") for number in range(21)]
    run(broker.publish_all(small))
    sent = [(fields["QueueUrl"], [entry["Id"] for entry in fields["Entries"]]) for _, fields in port.sent]
    others = [str(number) for number in range(21) if number % 3]
    assert sent == [
        (f"{BASE}/b", [str(number) for number in range(0, 21, 3)]),
        (QUEUE, others[:10]),
        (QUEUE, others[10:]),
    ]

    port.sent.clear()
    run(broker.publish_all([Signature("x" * 100_000) for _ in range(5)]))
    assert [len(fields["Entries"]) for fields in port.of("SendMessageBatch")] == [2, 2, 1]


def test_a_batch_that_was_taken_in_part() -> None:
    """Each task that SQS did not take is named, with the reason."""
    broker, port, _ = make_broker()
    failed = [{"Id": "1", "Code": "InvalidMessageContents", "Message": "bad", "SenderFault": True}]
    port.answers["SendMessageBatch"] = [{"Failed": failed}]
    with pytest.raises(PublishError) as caught:
        run(broker.publish_all([Signature("a"), Signature("b", uuid="task_b"), Signature("c")]))
    expected = "1 of 3 tasks were not sent: task b (task_b): SQS: bad (InvalidMessageContents)"
    assert expected == str(caught.value)

    port.answers["SendMessageBatch"] = [SQSRefused("SQS has no queue", NO_SUCH_QUEUE)]
    with pytest.raises(PublishError, match=r"^2 of 2 tasks were not sent: task a \(task_a\): SQS has no queue; task b"):
        run(broker.publish_all([Signature("a", uuid="task_a"), Signature("b")]))


def test_receiving() -> None:
    """Go's command with more messages; a wait that found nothing is not followed by a request that does not wait."""
    broker, port, _ = make_broker(sqs__receive_wait_time_seconds=7, sqs__receive_visibility_timeout=90)
    body = encode_signature(Signature("add"))

    assert run(broker.fetch("machinery_tasks", "me", 20, 0.0)) == []
    assert run(broker.fetch("machinery_tasks", "me", 20, 0.0)) == []
    [delivery] = fetched(broker, port, message(body, received=3))
    run(broker.fetch("machinery_tasks", "me", 4, 0.0))

    asked = port.of("ReceiveMessage")
    assert [(each["MaxNumberOfMessages"], each["WaitTimeSeconds"]) for each in asked] == [(10, 0), (10, 7), (4, 0)]
    assert {"QueueUrl": QUEUE, "VisibilityTimeout": 90, "MessageAttributeNames": ["All"]}.items() <= asked[0].items()
    assert broker.waits == 7
    assert (delivery.body, delivery.attempts, delivery.queue) == (body, 2, "machinery_tasks")


def test_a_fifo_queue_gives_one_at_a_time() -> None:
    """Several messages of one group would run at once."""
    broker, port, _ = make_broker()
    run(broker.fetch("m.fifo", "me", 20, 0.0))

    assert port.of("ReceiveMessage")[0]["MaxNumberOfMessages"] == 1


def test_an_early_message_is_held_back() -> None:
    """What comes before its ETA stays invisible until then, 12 hours at most, and is not given to the worker."""
    broker, port, clock = make_broker()
    early, late, due = (
        encode_signature(Signature("add", uuid=f"t{seconds}", eta=ahead(clock, seconds)))
        for seconds in (3.2, 90_000, -1)
    )
    nested = encode_signature(Signature("add", on_success=[Signature("next", eta=ahead(clock, 50))]))
    mixed = early.replace(b'"ETA"', b'"eta"').replace(b"{", b'{"OnSuccess":[{"ETA":null}],', 1)

    bodies = [early, late, due, nested, mixed, b"{"]
    deliveries = fetched(broker, port, *[message(body, at) for at, body in enumerate(bodies)])

    assert [delivery.body for delivery in deliveries] == [due, nested, b"{"]
    [hidden] = port.of("ChangeMessageVisibilityBatch")
    told = {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in hidden["Entries"]}
    assert told == {"receipt-0-1": 4, "receipt-1-1": 12 * 3600 - 60, "receipt-4-1": 4}


def test_the_heartbeat() -> None:
    """What is held is extended in time, and no longer once it is settled; what SQS took away is not begun."""
    broker, port, clock = make_broker()
    run(broker.beat("machinery_tasks", "me"))
    assert broker.beat_seconds == 7.5
    body = encode_signature(Signature("add"))
    first, second, third = fetched(broker, port, *[message(body, number) for number in (1, 2, 3)])
    assert run(broker.settle(third))
    run(broker.beat("machinery_tasks", "me"))
    run(broker.beat("machinery_tasks", "another"))
    assert port.of("ChangeMessageVisibilityBatch") == []

    clock.seconds += 15
    port.answers["ChangeMessageVisibilityBatch"] = [{"Failed": [{"Id": "1", "Code": "MessageNotInflight"}]}]
    run(broker.beat("machinery_tasks", "me"))
    [extended] = port.of("ChangeMessageVisibilityBatch")
    assert extended["Entries"] == [
        {"Id": "0", "ReceiptHandle": "receipt-1-1", "VisibilityTimeout": 30},
        {"Id": "1", "ReceiptHandle": "receipt-2-1", "VisibilityTimeout": 30},
    ]
    clock.seconds += 29
    assert (run(broker.holds(first)), run(broker.holds(second))) == (True, False)
    clock.seconds += 1
    assert run(broker.holds(first)) is False


def test_a_message_that_sqs_fails_to_keep_is_still_ours() -> None:
    """Until its time is over it is tried again at each beat; given up, its task would run twice."""
    broker, port, clock = make_broker()
    [delivery] = fetched(broker, port, message(encode_signature(Signature("add"))))
    busy = {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}

    clock.seconds += 15
    port.answers["ChangeMessageVisibilityBatch"] = [busy]
    run(broker.beat("machinery_tasks", "me"))
    clock.seconds += 7
    run(broker.beat("machinery_tasks", "me"))
    clock.seconds += 20
    assert run(broker.holds(delivery))

    port.answers["ChangeMessageVisibilityBatch"] = [busy]
    clock.seconds += 10
    run(broker.beat("machinery_tasks", "me"))
    assert not run(broker.holds(delivery))


@pytest.mark.parametrize(("given", "beats"), [({}, 1), ({"sqs__visibility_hearth_beat": False}, 0)])
def test_the_heartbeat_can_be_switched_off(given: dict[str, Any], beats: int) -> None:
    """It is on unless the configuration says that it is off."""
    broker, port, clock = make_broker(**given)
    fetched(broker, port, message(encode_signature(Signature("add"))))
    clock.seconds += 20
    run(broker.beat("machinery_tasks", "me"))

    assert len(port.of("ChangeMessageVisibilityBatch")) == beats


def test_ends() -> None:
    """What becomes of a message: it is deleted, left, given back, or comes again later and later."""
    broker, port, clock = make_broker()
    body = encode_signature(Signature("add"))

    def end(name: str, *arguments: Any, received: int = 1) -> Sequence[Any]:
        [delivery] = fetched(broker, port, message(body, received=received))
        port.sent.clear()
        given = [delivery] if name == "hand_back" else delivery
        run(getattr(broker, name)(given, *arguments))
        sent = list(port.sent)
        # Nothing that has ended is kept invisible any more.
        clock.seconds += 20
        port.sent.clear()
        run(broker.beat("machinery_tasks", "me"))
        assert port.sent == []
        return sent

    def hidden(seconds: int, received: int = 1) -> Sequence[Any]:
        entry = {"Id": "0", "ReceiptHandle": f"receipt-1-{received}", "VisibilityTimeout": seconds}
        return [("ChangeMessageVisibilityBatch", {"QueueUrl": QUEUE, "Entries": [entry]})]

    deleted = [("DeleteMessage", {"QueueUrl": QUEUE, "ReceiptHandle": "receipt-1-1"})]
    assert end("settle") == end("drop") == deleted
    assert end("requeue") == end("leave") == []
    assert end("hand_back") == hidden(0)
    assert end("bury", "why") == hidden(30)
    assert end("bury", "why", received=4) == hidden(240, 4)
    assert end("bury", "why", received=40) == hidden(900, 40)


def test_a_receipt_that_is_no_longer_good() -> None:
    """The task is done with all the same: its outcome is stored, and the message is recognised when it comes again."""
    broker, port, _ = make_broker()
    [delivery] = fetched(broker, port, message(b"{}"))
    port.answers["DeleteMessage"] = [SQSRefused("SQS: expired", "ReceiptHandleIsInvalid")]

    assert run(broker.settle(delivery)) is True


def test_looking_without_permission() -> None:
    """Whoever may not ask for a queue's settings, which Go never does, can work all the same."""
    broker, port, _ = make_broker()
    port.answers["GetQueueAttributes"] = [SQSRefused("SQS: no", ACCESS_DENIED)] * 2

    run(broker.check())
    run(broker.beat("machinery_tasks", "me"))
    run(broker.fetch("machinery_tasks", "me", 1, 0.0))
    assert port.of("ReceiveMessage")[0]["VisibilityTimeout"] == 30


def test_a_missing_queue() -> None:
    """A worker does not begin on a queue that is not there; the default queue may be missing for those who use none."""
    broker, port, _ = make_broker()
    port.answers["GetQueueAttributes"] = [SQSRefused("SQS has no queue", NO_SUCH_QUEUE)] * 2

    run(broker.check())
    with pytest.raises(ServiceError, match="SQS has no queue"):
        run(broker.beat("machinery_tasks", "me"))


@pytest.mark.parametrize("name", ["pending", "dead"])
def test_what_sqs_cannot_show(name: str) -> None:
    """Waiting tasks and dead letters can only be taken; the error says where they are."""
    broker, port, _ = make_broker()
    policy = '{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:graveyard","maxReceiveCount":"5"}'
    port.answers["GetQueueAttributes"] = [{"Attributes": {"RedrivePolicy": policy}}]
    with pytest.raises(NotImplementedError, match=r"SQS shows no .* without taking them"):
        run(getattr(broker, name)("machinery_tasks"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sqs__receive_visibility_timeout": 43201}, "sqs.receive_visibility_timeout must be from 1 to 43200"),
        ({"sqs__receive_visibility_timeout": -1}, "sqs.receive_visibility_timeout must be from 1 to 43200"),
        ({"sqs__receive_wait_time_seconds": 21}, "sqs.receive_wait_time_seconds must be from 0 to 20"),
    ],
)
def test_settings_that_sqs_refuses(settings: dict[str, Any], problem: str) -> None:
    """A setting that SQS could only refuse names itself, at the start."""
    with pytest.raises(ConfigError, match=problem):
        make_broker(**settings)


def test_a_result_store_is_needed() -> None:
    """SQS keeps no results: one has to be named, also if it is none."""
    with pytest.raises(ValueError, match=r'this broker keeps no results: give result_backend=, or .*"null"'):
        Server(BASE)
    with Server(BASE, result_backend="null") as server:
        assert type(server.broker) is SQSBroker
