"""The AMQP broker as plain commands: what is declared, published and refused, without a server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from amqp_double import QueuePort, flat

from gomachinery_py import Config, Signature
from gomachinery_py.amqp_commands import NO_ROUTE, PRECONDITION_FAILED, AMQPRefused, Held, Int64
from gomachinery_py.brokers.amqp import AMQPBroker
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.effects import run
from gomachinery_py.errors import PublishError, ServiceError, SignatureError
from gomachinery_py.golang.time import Time
from gomachinery_py.wire import encode_signature

NOW_NS = 1_700_000_000_000_000_000


class Clock:
    def unix_ns(self) -> int:
        return NOW_NS

    def monotonic(self) -> float:
        return 0.0


def make_broker(**settings: Any) -> tuple[AMQPBroker, QueuePort]:
    port = QueuePort()
    return AMQPBroker.configured(port, Clock(), Config.of(**settings)), port


def in_ms(milliseconds: float) -> Time:
    return Time.from_unix_ns(NOW_NS + int(milliseconds * 1_000_000))


def test_a_task_goes_to_the_default_queue() -> None:
    """The exchange, the default queue and its binding are declared, and the message is persistent and mandatory."""
    broker, _ = make_broker()
    signature = Signature("add", uuid="task_1", priority=3, headers={"a": "b"})

    commands = flat(broker.publish_commands(signature))

    assert signature.routing_key == "machinery_task"
    assert commands == [
        ("exchange_declare", {"exchange": "machinery_exchange", "exchange_type": "direct", "durable": True}),
        ("queue_declare", {"queue": "machinery_tasks", "durable": True, "auto_delete": False, "arguments": {}}),
        (
            "queue_bind",
            {
                "queue": "machinery_tasks",
                "exchange": "machinery_exchange",
                "routing_key": "machinery_task",
                "arguments": {},
            },
        ),
        (
            "basic_publish",
            {
                "exchange": "machinery_exchange",
                "routing_key": "machinery_task",
                "body": encode_signature(signature),
                "mandatory": True,
                "properties": {
                    "content_type": "application/json",
                    "delivery_mode": 2,
                    "headers": {"a": "b"},
                    "priority": 3,
                },
            },
        ),
    ]


def test_a_routing_key_is_a_queue_on_a_direct_exchange_only() -> None:
    """On a direct exchange the queue of that name is bound to it; elsewhere the default queue with the binding key."""
    direct, _ = make_broker(amqp__queue_declare_args={"x-max-priority": 5}, amqp__queue_binding_args={"a": "b"})
    topic, _ = make_broker(amqp__exchange_type="topic", amqp__binding_key="tasks.#")

    _, queue, bound, sent = flat(direct.publish_commands(Signature("x", routing_key="special")))
    assert (queue[1]["queue"], queue[1]["arguments"]) == ("special", {"x-max-priority": 5})
    assert (bound[1]["routing_key"], bound[1]["arguments"]) == ("special", {"a": "b"})
    assert sent[1]["routing_key"] == "special"
    _, queue, bound, sent = flat(topic.publish_commands(Signature("x", routing_key="tasks.a")))
    assert (queue[1]["queue"], bound[1]["routing_key"], sent[1]["routing_key"]) == (
        "machinery_tasks",
        "tasks.#",
        "tasks.a",
    )
    unrouted = Signature("x")
    topic.publish_commands(unrouted)
    assert unrouted.routing_key == "machinery_tasks"


@pytest.mark.parametrize(("left_ms", "delay"), [(1500, 1500), (1499.2, 1500), (0.5, 100), (99, 100)])
def test_a_delay_has_a_queue_of_its_own(left_ms: float, delay: int) -> None:
    """It passes messages on after the delay, rounded up, and has Go's name and 64-bit arguments; no priority."""
    broker, _ = make_broker()

    commands = flat(broker.publish_commands(Signature("x", routing_key="q", eta=in_ms(left_ms), priority=9)))

    name = f"delay.{delay}.machinery_exchange.q"
    [declared, bound, published, again] = commands[-4:]
    assert declared == again
    assert declared[1] == {
        "queue": name,
        "durable": True,
        "auto_delete": False,
        "answered": True,
        "arguments": {
            "x-dead-letter-exchange": "machinery_exchange",
            "x-dead-letter-routing-key": "q",
            "x-message-ttl": delay,
            "x-expires": 2 * delay,
        },
    }
    assert all(isinstance(declared[1]["arguments"][key], Int64) for key in ("x-message-ttl", "x-expires"))
    assert (bound[1]["queue"], bound[1]["routing_key"]) == (name, name)
    assert published[1]["properties"] == {"content_type": "application/json", "delivery_mode": 2}
    # The queue that it leads to is there before it.
    assert ("queue_declare", "q") in [(name, fields.get("queue")) for name, fields in commands[:3]]


def test_an_eta_that_is_past_runs_at_once() -> None:
    """No delay queue for what is due."""
    broker, _ = make_broker()
    assert broker.publish_commands(Signature("x", eta=in_ms(0)))[-1][1]["routing_key"] == "machinery_task"


def test_the_queue_for_all_delayed_tasks() -> None:
    """With amqp.delayed_queue messages carry their expiration; another routing key than its own gets a delay queue."""
    broker, port = make_broker(amqp__delayed_queue="later", amqp__auto_delete=True)

    commands = flat(broker.publish_commands(Signature("x", eta=in_ms(5000))))
    assert commands[-4][1]["arguments"] == {
        "x-dead-letter-exchange": "machinery_exchange",
        "x-dead-letter-routing-key": "machinery_task",
    }
    assert commands[-4][1]["auto_delete"] is True
    assert commands[-2][1]["properties"]["expiration"] == "5000"

    port.errors["queue_declare"] = [AMQPRefused("inequivalent arg", PRECONDITION_FAILED)]
    run(broker.publish(Signature("x", routing_key="other", eta=in_ms(5000))))
    assert len(port.queues["delay.5000.machinery_exchange.other"]) == 1


def test_what_rabbitmq_cannot_delay() -> None:
    """More than 24 days, or a name that gets too long, is refused with the reason."""
    broker, _ = make_broker()
    far = Time.from_unix_ns(NOW_NS + int(timedelta(days=25).total_seconds()) * 1_000_000_000)
    with pytest.raises(SignatureError, match="25 days away, RabbitMQ delays 24 at most"):
        broker.publish_commands(Signature("x", eta=far))
    with pytest.raises(SignatureError, match="routing_key is too long"):
        broker.publish_commands(Signature("x", routing_key="k" * 240, eta=in_ms(500)))


def test_headers_that_go_could_not_publish_again() -> None:
    """Texts, flags and nulls stay; numbers and structures become their JSON text; too much is refused."""
    broker, _ = make_broker()
    headers = {"text": "ż", "flag": True, "none": None, "number": 1.5, "deep": {"a": [1]}, "k" * 256: "long key"}

    sent = broker.publish_commands(Signature("x", headers=headers))[-1][1]["properties"]["headers"]

    assert sent == {"text": "ż", "flag": True, "none": None, "number": "1.5", "deep": '{"a":[1]}'}
    assert "headers" not in broker.publish_commands(Signature("x", headers={}))[-1][1]["properties"]
    with pytest.raises(SignatureError, match="its headers have"):
        broker.publish_commands(Signature("x", headers={"a": "b" * 200_000}))


def test_a_publish_that_is_refused() -> None:
    """PublishError names the task; a delay queue that has just expired is declared again."""
    broker, port = make_broker()
    port.errors["basic_publish"] = [AMQPRefused("RabbitMQ did not take the message", 0)]
    with pytest.raises(PublishError, match=r"^task x: RabbitMQ did not take the message$"):
        run(broker.publish(Signature("x")))

    port.errors["basic_publish"] = [AMQPRefused("no route", NO_ROUTE)] * 2
    run(broker.publish(Signature("x", eta=in_ms(100))))
    assert len(port.queues["delay.100.machinery_exchange.machinery_task"]) == 1
    port.errors["basic_publish"] = [AMQPRefused("no route", NO_ROUTE)] * 5
    with pytest.raises(PublishError, match="no route"):
        run(broker.publish(Signature("x", eta=in_ms(100))))


def test_consuming() -> None:
    """A queue of one's own is bound to its name; the prefetch is the concurrency unless it was set."""
    fetched: list[dict[str, Any]] = []

    class Port(QueuePort):
        def _fetch(self, fields: dict[str, Any]) -> list[Held]:
            fetched.append(fields)
            return [Held(fields["queue"], fields["worker"], b"body", True, {}, 1, 7)]

    for config, queue, limit in (
        (Config.of(), "machinery_tasks", 10),
        (Config.of(), "own", 1),
        (Config.of(amqp__prefetch_count=50), "own", 10),
    ):
        [delivery] = run(AMQPBroker.configured(Port(), Clock(), config).fetch(queue, "w", limit, 1.0))
        assert (delivery.body, delivery.attempts, delivery.queue) == (b"body", 1, queue)

    assert [(fields["prefetch"], fields["strict"]) for fields in fetched] == [(10, False), (3, False), (50, True)]
    assert [fields["topology"][-1][1]["routing_key"] for fields in fetched] == ["machinery_task", "own", "own"]


def test_dead_letters_keep_the_message_and_the_reason() -> None:
    """The body goes to <queue>.dead with its headers and the reason, and only then the message is acknowledged."""
    acknowledged = []

    class Port(QueuePort):
        def _basic_ack(self, fields: dict[str, Any]) -> bool:
            acknowledged.append((fields["held"], list(self.queues["q.dead"])))
            return True

    port = Port()
    broker = AMQPBroker(port, Clock(), "machinery_tasks")
    held = Held("q", "w", b"{", False, {"headers": {"a": "b"}, "content_type": "text/plain"}, 1, 7)

    run(broker.bury(Delivery("q", b"{", "w", 0, held), "why"))

    assert acknowledged == [(held, [b"{"])]
    published = next(fields for name, fields in port.sent if name == "basic_publish")
    assert published["exchange"] == ""
    assert published["properties"]["headers"] == {"a": "b", "x-gmpy-reason": "why"}


def test_a_message_that_cannot_be_buried_is_not_acknowledged() -> None:
    """Nothing is lost when the dead letters are full."""
    broker, port = make_broker()
    port.errors["basic_publish"] = [AMQPRefused("full", 0)]
    held = Held("q", "w", b"{", False, {}, 1, 7)
    with pytest.raises(ServiceError, match="full"):
        run(broker.bury(Delivery("q", b"{", "w", 0, held), "why"))
    assert "basic_ack" not in [name for name, _ in port.sent]


def test_looking() -> None:
    """Waiting tasks are paged; a queue that is not there is empty; delayed ones can be listed in one queue only."""
    broker, port = make_broker()
    port.queues["q"] = [b"1", b"2", b"3"]
    assert run(broker.pending("q", 1, 5)) == [b"2", b"3"]
    assert run(broker.pending("nowhere")) == []
    assert run(broker.purge("q")) == 3
    assert [(info.name, info.waiting) for info in run(broker.queues(["q", "nowhere"]))] == [("q", 0)]
    with pytest.raises(ServiceError, match="a client cannot list"):
        run(broker.delayed())


def test_names_that_are_taken() -> None:
    """No task may have a queue's name as its UUID; the binding key may be a routing key."""
    broker, _ = make_broker(amqp__delayed_queue="later")
    assert broker.reserved_names() == {
        "machinery_tasks",
        "machinery_task",
        "later",
        "machinery_tasks.dead",
        "machinery_task.dead",
    }
    assert broker.own_queues == {"machinery_tasks", "machinery_task"}
