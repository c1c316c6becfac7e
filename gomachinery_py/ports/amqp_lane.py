"""One AMQP channel in confirm mode, and the pool of them: whoever needs one has it for itself until it is done.

An error that RabbitMQ answers closes the channel; so nobody else is touched by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pika import exceptions, spec

from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.amqp_connection import Connection, Delivered, ack_frame
from gomachinery_py.ports.amqp_target import refused, table

__all__ = ["Lane", "Lanes", "Owner"]

# A channel is a process on the server; more would only wait for each other.
_MAX_LANES = 32

GetReply = Callable[[Any, Any, bytes | None], None]


class Owner(Protocol):
    """Who uses a lane; the methods are called on the link's thread."""

    def opened(self, lane: Lane) -> None:
        """Here it is."""
        ...

    def lost(self, error: ServiceError | ServiceUnavailable) -> None:
        """The channel was closed: ServiceError by an answer of the server, ServiceUnavailable with the connection."""
        ...

    def confirmed(self, tag: int, multiple: bool, ok: bool) -> None:
        """Messages were confirmed (``ok``) or nacked, up to ``tag`` when ``multiple``."""
        ...

    def returned(self, method: Any, body: bytes) -> None:
        """A message found no queue; its confirm follows."""
        ...


class Lane:
    """A channel; opened at once, ready when ``owner.opened`` is called."""

    def __init__(
        self, connection: Connection, explain: Callable[[BaseException], ServiceUnavailable], owner: Owner
    ) -> None:
        self.owner: Owner | None = owner
        self.published = 0
        self._explain = explain
        self._on_get: GetReply | None = None
        self._connection = connection
        self.channel = connection.channel(on_open_callback=self._opened)
        self._number: int = self.channel.channel_number
        self.channel.add_on_close_callback(self._closed)

    # -- methods whose encoding is ours --

    def send(self, name: str, fields: dict[str, Any]) -> None:
        """Send a command that is answered by nothing, or by a confirm."""
        if name == "basic_publish":
            self.publish(fields)
            return
        arguments = {**fields, "arguments": table(fields.get("arguments"))}
        getattr(self.channel, name)(**arguments)

    def publish(self, fields: dict[str, Any]) -> int:
        """Send a message; the number of its confirm. For any thread, one at a time."""
        properties = fields["properties"]
        if "headers" in properties:
            properties = {**properties, "headers": table(properties["headers"])}
        if not self._connection.emit_message(
            self._number, fields["exchange"], fields["routing_key"], fields["mandatory"], properties, fields["body"]
        ):
            raise exceptions.ChannelWrongStateError("Channel is closed.")
        self.published += 1
        return self.published

    def ack(self, tags: Sequence[tuple[int, bool]]) -> bool:
        """Acknowledge messages, each with those before it if that is said; False when the channel is gone.

        For any thread.
        """
        frames = [ack_frame(self._number, tag, multiple=multiple) for tag, multiple in tags]
        return self._connection.emit(self._number, b"".join(frames))

    def consume(self, queue: str, tag: str, delivered: Delivered, begun: Callable[[Any], None]) -> None:
        """``begun`` is called when RabbitMQ agrees, ``delivered`` for each message."""
        self._connection.deliveries[self._number] = delivered
        self.channel.basic_consume(queue, _never, consumer_tag=tag, callback=begun)

    def get(self, queue: str, reply: GetReply) -> None:
        """``reply(method, properties, body)``; all None when the queue is empty."""
        self._on_get = reply
        self.channel.basic_get(queue, self._got)

    def close(self) -> None:
        """Give the channel up; what it has not acknowledged goes back to its queue."""
        self.owner = None
        if self.channel.is_open:
            self.channel.close()

    # -- what pika calls --

    def _opened(self, channel: Any) -> None:
        channel.add_on_return_callback(self._returned)
        channel.add_callback(self._got_nothing, [spec.Basic.GetEmpty], False)
        self._connection.confirms[self._number] = self._confirmed
        # Without waiting: whatever is published comes after it.
        channel.confirm_delivery(_never)
        if self.owner is not None:
            self.owner.opened(self)
        else:
            channel.close()

    def _closed(self, _channel: Any, reason: BaseException) -> None:
        self._connection.forget(self._number)
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.lost(refused(reason) if isinstance(reason, exceptions.ChannelClosed) else self._explain(reason))

    def _confirmed(self, tag: int, multiple: bool, ok: bool) -> None:
        if self.owner is not None:
            self.owner.confirmed(tag, multiple, ok)

    def _returned(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        if self.owner is not None:
            self.owner.returned(method, body)

    def _got(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._answer(method, properties, body)

    def _got_nothing(self, _frame: Any) -> None:
        self._answer(None, None, None)

    def _answer(self, method: Any, properties: Any, body: bytes | None) -> None:
        reply, self._on_get = self._on_get, None
        if reply is not None:
            reply(method, properties, body)


def _never(*_: Any) -> None:
    """What pika is given to call, and does not: the connection reads these frames by itself."""


class Lanes:
    """The lanes of one connection."""

    def __init__(self, open_lane: Callable[[Owner], Lane]) -> None:
        self._open = open_lane
        self._idle: list[Lane] = []
        self._count = 0
        self._wanting: deque[Owner] = deque()

    def acquire(self, owner: Owner) -> None:
        """``owner.opened(lane)`` follows, at once when one is idle."""
        while self._idle:
            lane = self._idle.pop()
            if lane.channel.is_open:
                lane.owner = owner
                owner.opened(lane)
                return
            self._count -= 1
        if self._count >= _MAX_LANES:
            self._wanting.append(owner)
            return
        self._count += 1
        try:
            self._open(owner)
        except BaseException:
            self._count -= 1
            raise

    def release(self, lane: Lane) -> None:
        """The owner is done with it."""
        lane.owner = None
        if not lane.channel.is_open:
            self.discard(lane)
        elif self._wanting:
            owner = self._wanting.popleft()
            lane.owner = owner
            owner.opened(lane)
        else:
            self._idle.append(lane)

    def discard(self, lane: Lane) -> None:
        """It is closed, or no good any more."""
        lane.close()
        self._count -= 1
        if self._wanting:
            self.acquire(self._wanting.popleft())

    def dropped(self) -> list[Owner]:
        """The connection is gone; who still waited for a lane."""
        waiting = list(self._wanting)
        self._idle.clear()
        self._wanting.clear()
        self._count = 0
        return waiting
