"""The Pub/Sub broker as plain commands: what is published, held, put off and given back, without a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gomachinery_py import Config, Signature
from gomachinery_py.brokers import pubsub_held
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.pubsub import PubSubBroker
from gomachinery_py.effects import Port, Request, run
from gomachinery_py.errors import PublishError, SignatureError
from gomachinery_py.golang.time import Time
from gomachinery_py.ports.pubsub_calls import batches
from gomachinery_py.pubsub_commands import PubSubRefused, Pulled, Subscription
from gomachinery_py.wire import encode_signature

NOW_NS = 1_700_000_000_000_000_000
TOPIC = "projects/p/topics/machinery_tasks"
SUBSCRIPTION = "projects/p/subscriptions/s"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def unix_ns(self) -> int:
        return NOW_NS + int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds


class PubSubDouble(Port):
    """Answers with what it was given and keeps what it was told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.waiting: list[Pulled] = []
        #: Answered once to the next command of this name.
        self.errors: dict[str, list[Exception]] = {}

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [[self._answer(*command) for command in request.commands] for request in requests]

    def _answer(self, name: str, fields: dict[str, Any]) -> Any:
        self.sent.append((name, fields))
        if self.errors.get(name):
            return self.errors[name].pop(0)
        if name == "Pull":
            taken, self.waiting = self.waiting[: fields["max_messages"]], self.waiting[fields["max_messages"] :]
            return taken
        return {"GetSubscription": Subscription(TOPIC, 10, ""), "StopPulling": []}.get(name)

    def deadlines(self) -> list[tuple[list[str], int]]:
        return [
            (fields["ack_ids"], fields["ack_deadline_seconds"])
            for name, fields in self.sent
            if name == "ModifyAckDeadline"
        ]


def make_broker() -> tuple[PubSubBroker, PubSubDouble, Clock]:
    port, clock = PubSubDouble(), Clock()
    config = Config.of(broker="gcppubsub://p/s", result_backend="null")
    return PubSubBroker.configured(port, clock, config), port, clock


def message(number: int, body: bytes = b"{}", *, age: float = 0, attempt: int = 0, ack: str = "") -> Pulled:
    return Pulled(ack or f"a{number}", f"m{number}", body, attempt, NOW_NS - int(age * 1e9))


def body_at(seconds: float) -> bytes:
    return encode_signature(Signature("x", uuid="task_1", eta=Time.from_unix_ns(NOW_NS + int(seconds * 1e9))))


def fetch(broker: PubSubBroker, limit: int = 10, wait: float = 0) -> list[Delivery]:
    return run(broker.fetch("machinery_tasks", "w", limit, wait))


def test_a_task_goes_to_the_topic_of_its_routing_key() -> None:
    """The default queue's without one; the body is the task's JSON with the routing key in it."""
    broker, port, _ = make_broker()
    plain, special = Signature("add", uuid="task_1"), Signature("add", uuid="task_2", routing_key="special")

    run(broker.publish(plain))
    run(broker.publish(special))

    assert plain.routing_key == "machinery_tasks"
    assert port.sent == [
        ("Publish", {"topic": TOPIC, "messages": [encode_signature(plain)]}),
        ("Publish", {"topic": "projects/p/topics/special", "messages": [encode_signature(special)]}),
    ]


def test_many_are_published_together() -> None:
    """One call for a topic, in their order, within Pub/Sub's limits of number and size."""
    broker, port, _ = make_broker()
    small = [Signature("x", uuid=f"task_{at}", routing_key="odd" if at % 2 else "") for at in range(2400)]
    large = [Signature("x", uuid="task", headers={"h": "x" * 4_000_000}) for _ in range(3)]

    run(broker.publish_all(small))
    sizes = [(fields["topic"][-5:], len(fields["messages"])) for _, fields in port.sent]
    port.sent.clear()
    run(broker.publish_all(large))

    assert sizes == [("tasks", 1000), ("s/odd", 1000), ("tasks", 200), ("s/odd", 200)]
    assert [len(fields["messages"]) for _, fields in port.sent] == [2, 1]


def test_what_pubsub_does_not_take() -> None:
    """A body over 10 MB is refused before anything is sent, an answer of Pub/Sub names the task."""
    broker, port, _ = make_broker()
    with pytest.raises(SignatureError, match="Pub/Sub takes 10000000"):
        run(broker.publish(Signature("big", headers={"h": "x" * 10_000_000})))
    assert port.sent == []
    port.errors["Publish"] = [PubSubRefused("topic does not exist, instead got x", "NOT_FOUND")]
    with pytest.raises(PublishError, match=r"^task add: topic does not exist, instead got x$"):
        run(broker.publish(Signature("add")))


def test_an_eta_is_waited_for() -> None:
    """A message is held until its time, while others run, and a fetch waits no longer than for the next one."""
    broker, port, clock = make_broker()
    port.waiting = [message(1, body_at(5)), message(2), message(3, body_at(3))]

    first = fetch(broker)
    clock.seconds = 2.5
    nothing = fetch(broker, wait=1)
    waited = port.sent[-1][1]["wait"]
    clock.seconds = 5
    rest = fetch(broker)

    assert [delivery.token.message_id for delivery in first] == ["m2"]
    assert (nothing, waited) == ([], 0.5)
    assert [delivery.token.message_id for delivery in rest] == ["m3", "m1"]
    assert port.deadlines() == []


def test_too_much_that_waits_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what a worker holds, Pub/Sub keeps it for at most ten minutes, or until its time, rounded up."""
    monkeypatch.setattr(pubsub_held, "_MOST_PARKED", 1)
    broker, port, _ = make_broker()
    port.waiting = [message(1, body_at(99)), message(2, body_at(30.2)), message(3, body_at(7200))]

    assert fetch(broker) == []
    assert port.deadlines() == [(["a2"], 31), (["a3"], 600)]


def test_what_waits_is_given_back_at_the_end() -> None:
    """A worker that takes no more gives others what waits for its time, and what came too late for it."""
    broker, port, _ = make_broker()
    port.waiting = [message(1, body_at(5))]
    fetch(broker)

    run(broker.stop_taking("machinery_tasks", "w"))

    assert port.sent[1:] == [
        ("ModifyAckDeadline", {"subscription": SUBSCRIPTION, "ack_ids": ["a1"], "ack_deadline_seconds": 0}),
        ("StopPulling", {"subscription": SUBSCRIPTION, "worker": "w"}),
    ]


@pytest.mark.parametrize(
    ("pulled", "attempts"),
    [(message(1), 0), (message(1, age=6), 1), (message(1, attempt=1, age=99), 0), (message(1, attempt=3), 2)],
)
def test_how_often_it_may_have_run(pulled: Pulled, attempts: int) -> None:
    """By Pub/Sub's count where it has one, else an old message may have been delivered before."""
    broker, port, _ = make_broker()
    port.waiting = [pulled]
    assert [delivery.attempts for delivery in fetch(broker)] == [attempts]


def test_a_heartbeat_keeps_what_is_held() -> None:
    """All deadlines are extended to the lease; one that is lost already does not cost the others theirs."""
    broker, port, clock = make_broker()
    port.waiting = [message(1), message(2)]
    run(broker.beat("machinery_tasks", "w"))
    one, two = fetch(broker)
    lost = PubSubRefused("expired", "INVALID_ARGUMENT")
    port.errors["ModifyAckDeadline"] = [lost, lost]
    clock.seconds = 5

    run(broker.beat("machinery_tasks", "w"))
    clock.seconds = 20

    assert port.deadlines() == [(["a1", "a2"], 30), (["a1"], 30), (["a2"], 30)]
    assert [run(broker.holds(one)), run(broker.holds(two))] == [False, True]
    assert [name for name, _ in port.sent].count("GetSubscription") == 1


def test_a_message_that_comes_twice_is_one() -> None:
    """Delivered again while it is still held here, it is not begun again, and settled by its new id."""
    broker, port, _ = make_broker()
    port.waiting = [message(1)]
    [delivery] = fetch(broker)
    port.waiting = [message(1, ack="again")]

    assert fetch(broker) == []
    run(broker.settle(delivery))
    assert port.sent[-1] == ("Acknowledge", {"subscription": SUBSCRIPTION, "ack_ids": ["again"]})


def test_what_lay_in_a_pull() -> None:
    """Its time began when it came; what came too long ago is given back, since it may be somebody else's by now."""
    broker, port, clock = make_broker()
    port.waiting = [replace(message(1), lay=4.0)]
    [delivery] = fetch(broker)
    clock.seconds = 5
    assert run(broker.holds(delivery))
    clock.seconds = 6
    assert not run(broker.holds(delivery))

    port.waiting = [replace(message(2), lay=6.0)]
    assert fetch(broker) == []
    assert port.deadlines() == [(["a2"], 0)]


def test_pauses_grow() -> None:
    """What is not registered comes at once, then ever later; what cannot be decoded ever later, to ten minutes."""
    broker, port, _ = make_broker()
    for _ in range(9):
        port.waiting = [message(1), message(2)]
        unregistered, poison = fetch(broker)
        run(broker.requeue(unregistered))
        run(broker.bury(poison, "cannot be decoded"))

    assert [seconds for ids, seconds in port.deadlines() if ids == ["a1"]] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [seconds for ids, seconds in port.deadlines() if ids == ["a2"]] == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_messages_of_two_queues_are_given_back_each_to_its_own() -> None:
    """A queue that is not the default one has a subscription of its own name."""
    broker, port, _ = make_broker()
    port.waiting = [message(1), message(2)]
    deliveries = [*fetch(broker, 1), *run(broker.fetch("special", "w", 1, 0))]

    run(broker.hand_back(deliveries))

    told = [fields for name, fields in port.sent if name == "ModifyAckDeadline"]
    assert [(fields["subscription"], fields["ack_ids"]) for fields in told] == [
        (SUBSCRIPTION, ["a1"]),
        ("projects/p/subscriptions/special", ["a2"]),
    ]


def test_a_sender_that_waits_publishes_at_the_eta() -> None:
    """The earliest first, and what has no ETA before all."""
    broker, port, _ = make_broker()
    broker.sender_waits = True
    etas = [0.02, None, 0.01]
    core = broker.publish_all(
        [
            Signature("x", uuid=f"task_{eta}", eta=Time.from_unix_ns(NOW_NS + int(eta * 1e9)) if eta else None)
            for eta in etas
        ]
    )

    run(core)

    bodies = [fields["messages"][0] for _, fields in port.sent]
    assert [f"task_{eta}".encode() in body for eta, body in zip((None, 0.01, 0.02), bodies, strict=True)] == [True] * 3


def test_calls_of_many_tasks_are_one() -> None:
    """Acknowledgements of one subscription share a call, up to a thousand; each task gets its own ids back."""
    acks = [(at, ("Acknowledge", {"subscription": SUBSCRIPTION, "ack_ids": [f"a{at}"]})) for at in range(1500)]
    sends = [(at, ("Publish", {"topic": TOPIC, "messages": [b"x"] * count})) for at, count in ((0, 2), (1, 3))]

    calls = list(batches([*acks, (9, ("GetTopic", {"topic": TOPIC})), *sends]))

    counts = {(call.name, len(call.fields.get("ack_ids", call.fields.get("messages", ())))) for call in calls}
    assert counts == {("Acknowledge", 1000), ("Acknowledge", 500), ("GetTopic", 0), ("Publish", 5)}
    [published] = [call for call in calls if call.name == "Publish"]
    assert published.shared(["1", "2", "3", "4", "5"]) == [(0, ["1", "2"]), (1, ["3", "4", "5"])]


def test_google_is_imported_only_for_pubsub() -> None:
    """The package and another broker load neither gRPC nor Google's clients."""
    program = (
        "import sys, gomachinery_py; gomachinery_py.Server('eager');"
        "print(sorted({'grpc', 'google.pubsub_v1', 'google.api_core'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
