"""Google Cloud Pub/Sub through Google's generated clients: commands in, replies out.

Calls of several tasks that say the same to the same topic or subscription are one call. Those that differ are under
way together. ``PUBSUB_EMULATOR_HOST`` and credentials are looked up as Google's clients do it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

# Before grpc is imported: a process that forks must find its own connection working in the child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")

import google.auth.exceptions
import grpc
from google.api_core.gapic_v1 import routing_header
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from gomachinery_py.config import Config
from gomachinery_py.effects import Command, Port, Request
from gomachinery_py.errors import ConfigError, ServiceUnavailable
from gomachinery_py.ports.fork_lock import ForkLock
from gomachinery_py.ports.pubsub_calls import Batch, batches, failure
from gomachinery_py.pubsub_commands import Pulled, Subscription
from gomachinery_py.urls import PubSubURL

__all__ = ["PubSubPort", "open_port"]

CONNECT_SECONDS = 1.7
ANSWER_SECONDS = 10.0
# A pull that brings nothing is begun anew after this time, lest it wait on a connection that died in silence.
_PULL_SECONDS = 30.0

_REQUESTS: dict[str, tuple[str, str, Any]] = {
    "Publish": ("publisher", "publish", types.PublishRequest),
    "GetTopic": ("publisher", "get_topic", types.GetTopicRequest),
    "GetSubscription": ("subscriber", "get_subscription", types.GetSubscriptionRequest),
    "Acknowledge": ("subscriber", "acknowledge", types.AcknowledgeRequest),
    "ModifyAckDeadline": ("subscriber", "modify_ack_deadline", types.ModifyAckDeadlineRequest),
    "Pull": ("subscriber", "pull", types.PullRequest),
    "Seek": ("subscriber", "seek", types.SeekRequest),
}


class _UnderWay:
    """A pull that goes on, and since when its answer lies here."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._came = 0.0
        call.add_done_callback(self._end)

    def _end(self, _call: Any) -> None:
        self._came = time.monotonic()

    def pulled(self, timeout: float) -> list[Pulled]:
        received = self.call.result(timeout=timeout)
        # The callback may still be on its way.
        return _pulled(received, time.monotonic() - self._came if self._came else 0.0)


class _Clients:
    """The transports of both services, connected."""

    def __init__(self) -> None:
        emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
        self.host = emulator or "pubsub.googleapis.com"
        self.publisher: Any
        self.subscriber: Any
        self.channels: list[Any]
        if emulator:
            # Google's clients make a channel that takes no answer over 4 MB.
            options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
            channel = grpc.insecure_channel(emulator, options)
            self.publisher = PublisherGrpcTransport(channel=channel)
            self.subscriber = SubscriberGrpcTransport(channel=channel)
            self.channels = [channel]
        else:
            self.publisher, self.subscriber = PublisherClient().transport, SubscriberClient().transport
            self.channels = [self.publisher.grpc_channel, self.subscriber.grpc_channel]

    def are_ready(self, seconds: float) -> bool:
        """Whether both can be spoken to, before so many seconds are over; at once no when nothing listens there."""
        deadline = time.monotonic() + seconds
        return all(_is_ready(channel, deadline - time.monotonic()) for channel in self.channels)

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


class PubSubPort(Port):
    """One project's Pub/Sub; shared by threads, and connected anew in a process that was forked."""

    def __init__(self, url: PubSubURL) -> None:
        self.project = url.project
        self.subscription = url.subscription
        self._lock = ForkLock()
        self._clients: _Clients | None = None
        self._pulls: dict[tuple[str, str], _UnderWay] = {}
        self._pid = os.getpid()

    # -- connecting --

    def _connected(self) -> _Clients:
        with self._lock:
            if self._pid != os.getpid():
                # The parent's: not to be closed here.
                self._clients, self._pulls, self._pid = None, {}, os.getpid()
            if self._clients is None:
                clients = _made()
                if not clients.are_ready(CONNECT_SECONDS):
                    clients.close()
                    raise ServiceUnavailable(
                        f"cannot reach Pub/Sub at {clients.host}: is it running, and is the network up?"
                    )
                self._clients = clients
            return self._clients

    def close(self) -> None:
        with self._lock:
            clients, self._clients, self._pulls = self._clients, None, {}
        if clients is not None and self._pid == os.getpid():
            clients.close()

    # -- sending --

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        if self.observer is not None:
            for request in requests:
                for command in request.commands:
                    self.observer(command)
        try:
            clients = self._connected()
        except (ServiceUnavailable, ConfigError) as error:
            return [error for _ in requests]
        answers: list[list[Any] | Exception] = [[] for _ in requests]
        for number in range(max((len(request.commands) for request in requests), default=0)):
            wave = [
                (at, request.commands[number])
                for at, request in enumerate(requests)
                if number < len(request.commands) and isinstance(answers[at], list)
            ]
            for at, reply in self._wave(clients, wave):
                answer = answers[at]
                if isinstance(reply, ServiceUnavailable):
                    answers[at] = reply
                elif isinstance(answer, list):
                    answer.append(reply)
        return answers

    def _wave(self, clients: _Clients, wave: Sequence[tuple[int, Command]]) -> list[tuple[int, Any]]:
        """One command each of several requests, together."""
        replies: list[tuple[int, Any]] = []
        under_way: list[tuple[Batch, Any]] = []
        for batch in batches(wave):
            if batch.name in ("Pull", "StopPulling"):
                replies += [(at, getattr(self, f"_{batch.name}")(clients, batch.fields)) for at in batch.owners]
            else:
                under_way.append((batch, self._begin(clients, batch.name, batch.fields, ANSWER_SECONDS)))
        for batch, call in under_way:
            try:
                reply = _REPLIES[batch.name](call.result())
            except (grpc.RpcError, grpc.FutureCancelledError) as error:
                reply = failure(error, batch.name, batch.fields, clients.host)
            replies += batch.shared(reply)
        return replies

    def _begin(self, clients: _Clients, name: str, fields: dict[str, Any], seconds: float) -> Any:
        service, method, kind = _REQUESTS[name]
        target = "topic" if "topic" in fields else "subscription"
        told = dict(fields)
        if name == "Publish":
            told["messages"] = [{"data": body} for body in fields["messages"]]
        elif name == "Seek":
            moment = Timestamp()
            moment.FromNanoseconds(told.pop("time_ns"))
            told["time"] = moment
        header: Any = routing_header
        metadata = (header.to_grpc_metadata(((target, fields[target]),)),)
        return getattr(getattr(clients, service), method).future(kind(told), timeout=seconds, metadata=metadata)

    # -- pulling --

    def _Pull(self, clients: _Clients, fields: dict[str, Any]) -> Any:  # noqa: N802
        key = (fields["subscription"], fields["worker"])
        under_way = self._pulls.get(key)
        if under_way is None:
            told = {name: fields[name] for name in ("subscription", "max_messages")}
            under_way = self._pulls[key] = _UnderWay(self._begin(clients, "Pull", told, _PULL_SECONDS))
        try:
            pulled = under_way.pulled(fields["wait"])
        except grpc.FutureTimeoutError:
            return []
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            self._pulls.pop(key, None)
            if getattr(error, "code", lambda: None)() == grpc.StatusCode.DEADLINE_EXCEEDED:
                return []
            return failure(error, "Pull", fields, clients.host)
        self._pulls.pop(key, None)
        return pulled

    def _StopPulling(self, _clients: _Clients, fields: dict[str, Any]) -> list[Pulled]:  # noqa: N802
        under_way = self._pulls.pop((fields["subscription"], fields["worker"]), None)
        if under_way is None or under_way.call.cancel():
            return []
        try:
            return under_way.pulled(0)
        except (grpc.RpcError, grpc.FutureCancelledError, grpc.FutureTimeoutError):
            return []


def _is_ready(channel: Any, seconds: float) -> bool:
    outcome: SimpleQueue[bool] = SimpleQueue()

    def changed(state: Any) -> None:
        if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            outcome.put(state is grpc.ChannelConnectivity.READY)

    channel.subscribe(changed, try_to_connect=True)
    try:
        return outcome.get(timeout=max(0.01, seconds))
    except Empty:
        return False
    finally:
        channel.unsubscribe(changed)


def _made() -> _Clients:
    """The clients; looking for credentials may take Google's library long where there are none."""
    outcome: list[_Clients | Exception] = []

    def make() -> None:
        try:
            outcome.append(_Clients())
        except Exception as error:
            outcome.append(error)

    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        make()
    else:
        thread = threading.Thread(target=make, name="pubsub-credentials", daemon=True)
        thread.start()
        thread.join(CONNECT_SECONDS)
    made = outcome[0] if outcome else TimeoutError("none was found in time")
    if isinstance(made, Exception):
        if not isinstance(made, google.auth.exceptions.GoogleAuthError | TimeoutError):
            raise made
        raise ConfigError(
            "Pub/Sub: no credentials that work: set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth "
            "application-default login; an emulator is named by PUBSUB_EMULATOR_HOST"
        ) from made
    return made


def _pulled(response: Any, lay: float) -> list[Pulled]:
    found = []
    # The messages as protobuf has them; through the wrappers each field costs ten times as much.
    for received in type(response).pb(response).received_messages:
        message = received.message
        published_ns = message.publish_time.ToNanoseconds()
        attempt = received.delivery_attempt
        found.append(Pulled(received.ack_id, message.message_id, message.data, attempt, published_ns, lay))
    return found


def _subscription(response: Any) -> Subscription:
    policy = type(response).pb(response).dead_letter_policy
    return Subscription(response.topic, response.ack_deadline_seconds, policy.dead_letter_topic)


_REPLIES: dict[str, Any] = {
    "Publish": lambda response: list(response.message_ids),
    "GetTopic": lambda response: response.name,
    "GetSubscription": _subscription,
    "Acknowledge": lambda _response: None,
    "ModifyAckDeadline": lambda _response: None,
    "Seek": lambda _response: None,
}


def open_port(url: PubSubURL, _config: Config) -> PubSubPort:
    """A port to the project of a URL; nothing is connected yet."""
    return PubSubPort(url)
