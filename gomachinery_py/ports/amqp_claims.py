"""Claims: all messages of one queue held together, by one claimer at a time among all processes.

``claim`` {queue, lock, at_least, limit} answers ``("missing", None, [])`` when there is no such queue, ``("short",
None, [])`` when fewer than ``at_least`` messages wait in it, ``("busy", None, [])`` when somebody else has claimed it,
or ``("held", handle, bodies)``. Held messages are not acknowledged: they are back in their queue, and the lock is free,
as soon as this process dies. They are fetched one by one and not consumed, since a queue that deletes itself would be
gone with its consumer.
``release`` {handle, done}: acknowledge them when ``done``, give them back otherwise; False when they were lost.

The lock is a queue that only its connection may use, so it ends with the connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gomachinery_py.amqp_commands import ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED, AMQPRefused
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.amqp_lane import Lane

if TYPE_CHECKING:
    from gomachinery_py.ports.amqp_link import Link, OwnCommand

__all__ = ["Claims"]

Reply = Callable[[Any], None]
_numbers = itertools.count(1)


class _Claim:
    """One claim on a channel of its own, which it owns until it is released."""

    def __init__(self, claims: Claims, fields: dict[str, Any], reply: Reply) -> None:
        self._claims = claims
        self.queue: str = fields["queue"]
        #: Which claim a release is for: a queue may be claimed again after the connection was lost.
        self.handle = f"{self.queue} {next(_numbers)}"
        self._lock: str = fields["lock"]
        self._at_least: int = fields["at_least"]
        self._limit: int = fields["limit"]
        self._reply: Reply | None = reply
        self._lane: Lane | None = None
        self._bodies: list[bytes] = []
        self._last = 0

    def opened(self, lane: Lane) -> None:
        self._lane = lane
        lane.channel.queue_declare(self.queue, passive=True, callback=self._counted)

    def _counted(self, frame: Any) -> None:
        if frame.method.message_count < self._at_least:
            self._end("short")
            return
        assert self._lane is not None
        self._lane.channel.queue_declare(self._lock, exclusive=True, auto_delete=True, callback=lambda _: self._get())

    def _get(self) -> None:
        assert self._lane is not None
        self._lane.get(self.queue, self._got)

    def _got(self, method: Any, _properties: Any, body: bytes | None) -> None:
        if body is not None:
            self._last = method.delivery_tag
            self._bodies.append(body)
            if len(self._bodies) < self._limit:
                self._get()
                return
        self._answer(("held", self.handle, self._bodies))

    def release(self, done: bool) -> None:
        """Settle everything, free the lock."""
        assert self._lane is not None
        channel = self._lane.channel
        if self._last and done:
            channel.basic_ack(self._last, multiple=True)
        elif self._last:
            channel.basic_nack(self._last, multiple=True, requeue=True)
        channel.queue_delete(self._lock)
        self._close()

    def _end(self, how: str) -> None:
        self._close()
        self._answer((how, None, []))

    def _close(self) -> None:
        self._claims.forget(self)
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.close()

    def _answer(self, reply: Any) -> None:
        waiting, self._reply = self._reply, None
        if waiting is not None:
            waiting(reply)

    def lost(self, error: ServiceError | ServiceUnavailable) -> None:
        """The channel was closed."""
        self._lane = None
        self._claims.forget(self)
        code = error.code if isinstance(error, AMQPRefused) else 0
        if code == NOT_FOUND:
            self._answer(("missing", None, []))
        elif code in (RESOURCE_LOCKED, ACCESS_REFUSED):
            # Somebody of ours has the lock, or a Go worker consumes the queue for itself.
            self._answer(("busy", None, []))
        else:
            self._answer(error)

    def confirmed(self, tag: int, multiple: bool, ok: bool) -> None:
        """Nothing is published here."""

    def returned(self, method: Any, body: bytes) -> None:
        """Nothing is published here."""


class Claims:
    """The claims of one link, by queue."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._all: dict[str, _Claim] = {}

    def commands(self) -> dict[str, OwnCommand]:
        return {"claim": self._claim, "release": self._release}

    def _claim(self, fields: dict[str, Any], reply: Reply) -> None:
        if fields["queue"] in self._all:
            # The lock would let the same connection in again.
            reply(("busy", None, []))
            return
        claim = self._all[fields["queue"]] = _Claim(self, fields, reply)
        self._link.open_lane(claim)

    def _release(self, fields: dict[str, Any], reply: Reply) -> None:
        claim = next((claim for claim in self._all.values() if claim.handle == fields["handle"]), None)
        if claim is not None:
            claim.release(fields["done"])
        reply(claim is not None)

    def forget(self, claim: _Claim) -> None:
        if self._all.get(claim.queue) is claim:
            del self._all[claim.queue]

    def lost(self, error: ServiceUnavailable) -> None:
        """The connection is gone; each claim has heard of it by its channel, or had none."""
        for claim in list(self._all.values()):
            claim.lost(error)
