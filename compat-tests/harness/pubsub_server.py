"""Google's own Pub/Sub server for tests, and what tests make and read there."""

from __future__ import annotations

import itertools
from pathlib import Path

import gobuild
import grpc
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from harness.process import Process

__all__ = ["PubSubServer"]

START_SECONDS = 20.0
QUEUE = "machinery_tasks"
SUBSCRIPTION = "machinery_worker"
_numbers = itertools.count(1)


class PubSubServer:
    """``go-harness/pstest`` on 127.0.0.1; construct it and it answers. ``address`` is for PUBSUB_EMULATOR_HOST.

    Projects need not be made: each test has one of its own, with the topics that it asks for.
    """

    def __init__(self, directory: Path) -> None:
        self._process = Process([gobuild.binary("pstest")], name=f"pubsub-{next(_numbers)}", directory=directory)
        line = self._process.read_line(START_SECONDS)
        if not line.startswith("LISTENING "):
            raise self._process.failed(f"said {line!r} instead of LISTENING")
        self.address = line.removeprefix("LISTENING ")
        self._channel = grpc.insecure_channel(self.address)
        self._publisher = PublisherGrpcTransport(channel=self._channel)
        self._subscriber = SubscriberGrpcTransport(channel=self._channel)

    def stop(self) -> None:
        """Stop it at once, as a crash does."""
        self._channel.close()
        self._process.kill()

    def url(self, project: str) -> str:
        """The broker URL of a project's default queue."""
        return f"gcppubsub://{project}/{SUBSCRIPTION}"

    def make_queue(self, project: str, queue: str = QUEUE, subscription: str = SUBSCRIPTION) -> None:
        """A topic and a subscription to it, as a Machinery worker needs them."""
        topic = f"projects/{project}/topics/{queue}"
        self._publisher.create_topic(types.Topic(name=topic))
        self.subscribe(project, queue, subscription)

    def subscribe(self, project: str, queue: str, subscription: str, *, dead_letter_queue: str = "") -> None:
        """One more subscription to a topic, with Google's default deadline of 10 s."""
        made = types.Subscription(
            name=f"projects/{project}/subscriptions/{subscription}",
            topic=f"projects/{project}/topics/{queue}",
            ack_deadline_seconds=10,
        )
        if dead_letter_queue:
            made.dead_letter_policy.dead_letter_topic = f"projects/{project}/topics/{dead_letter_queue}"
            made.dead_letter_policy.max_delivery_attempts = 5
        self._subscriber.create_subscription(made)

    def publish(self, project: str, *bodies: bytes, queue: str = QUEUE) -> None:
        """Put messages on a topic without any producer."""
        messages = [types.PubsubMessage(data=body) for body in bodies]
        request = types.PublishRequest(topic=f"projects/{project}/topics/{queue}", messages=messages)
        self._publisher.publish(request)

    def take(self, project: str, subscription: str = SUBSCRIPTION) -> list[types.PubsubMessage]:
        """Everything that can be had of a subscription now, in the order in which it was published."""
        name = f"projects/{project}/subscriptions/{subscription}"
        # What the deprecated flag is for: to see that there is nothing.
        request = types.PullRequest(subscription=name, max_messages=1000, return_immediately=True)
        received = list(self._subscriber.pull(request).received_messages)
        if received:
            ids = [message.ack_id for message in received]
            self._subscriber.acknowledge(types.AcknowledgeRequest(subscription=name, ack_ids=ids))
        return sorted((message.message for message in received), key=lambda each: int(each.message_id[1:]))
