"""Single publishes by the thread that wants them: it writes the message by itself and is woken by its confirm.

All of a link's threads share one channel for that, which nothing but messages goes over: no declaration that RabbitMQ
could refuse. What is not as simple goes the whole way, see ``amqp_run.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from pika.exceptions import AMQPError

from gomachinery_py.amqp_commands import AMQPRefused
from gomachinery_py.effects import Command
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.amqp_lane import Lane
from gomachinery_py.ports.amqp_run import ANSWER_SECONDS, not_routed, not_taken

if TYPE_CHECKING:
    from gomachinery_py.ports.amqp_link import Link

__all__ = ["Publisher"]

# The declarations that a message relies on, and the message.
_COMMANDS: Final = 2


class _Sent:
    """A message that is not confirmed."""

    __slots__ = ("answers", "fields", "is_unrouted")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.is_unrouted = False
        self.answers: SimpleQueue[Exception | None] = SimpleQueue()


class Publisher:
    """Owner of the channel; :meth:`publish` is for any thread, the others are called on the link's."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lane: Lane | None = None
        self._is_asked = False
        self._sent: dict[int, _Sent] = {}
        # Tags are counted in the order in which messages are written.
        self._lock = threading.Lock()

    def publish(self, commands: Sequence[Command]) -> list[Any] | Exception | None:
        """The replies to one message and what it relies on; None when it must go the whole way, unsent."""
        if len(commands) != _COMMANDS:
            return None
        (first, relied), (second, fields) = commands
        if first != "ensure" or second != "basic_publish" or relied["key"] not in self._link.ensured:
            return None
        sent = self._write(fields)
        if sent is None:
            return None
        try:
            answer = sent.answers.get(timeout=ANSWER_SECONDS)
        except Empty:
            self._link.call(self._give_up)
            return self._link.silent()
        if sent.is_unrouted and isinstance(answer, AMQPRefused):
            # What it relies on is gone: nobody has the message, and with its declarations it may find a queue.
            self._link.ensured.discard(relied["key"])
            return None
        return answer if isinstance(answer, ServiceUnavailable) else [None, answer]

    def _write(self, fields: dict[str, Any]) -> _Sent | None:
        with self._lock:
            lane = self._lane
            if lane is not None:
                try:
                    tag = lane.publish(fields)
                except (AMQPError, ServiceError, TypeError, ValueError):
                    # Whatever it is, the whole way says it.
                    return None
                sent = self._sent[tag] = _Sent(fields)
                return sent
            if self._is_asked:
                return None
            self._is_asked = True
        self._link.call(self._open)
        return None

    def _open(self) -> None:
        try:
            if self._link.is_open:
                self._link.open_lane(self)
                return
        except AMQPError:
            # The connection is about to be lost.
            pass
        self._is_asked = False

    def _give_up(self) -> None:
        """RabbitMQ is silent; nobody waits for what it may say later."""
        lane = self._lane
        if lane is not None:
            lane.close()
            self.lost(self._link.silent())

    # -- the lane's owner --

    def opened(self, lane: Lane) -> None:
        with self._lock:
            self._lane = lane

    def lost(self, error: ServiceError | ServiceUnavailable) -> None:
        """The channel is gone: nobody knows what became of the messages."""
        with self._lock:
            self._lane, self._is_asked = None, False
            sent, self._sent = self._sent, {}
        for each in sent.values():
            each.answers.put(error)

    def confirmed(self, tag: int, multiple: bool, ok: bool) -> None:
        with self._lock:
            tags = [each for each in self._sent if each <= tag] if multiple else [tag]
            confirmed = [self._sent.pop(each) for each in tags if each in self._sent]
        for sent in confirmed:
            if sent.is_unrouted:
                sent.answers.put(not_routed(sent.fields))
            else:
                sent.answers.put(None if ok else not_taken())

    def returned(self, method: Any, body: bytes) -> None:
        with self._lock:
            for sent in self._sent.values():
                same = sent.fields["routing_key"] == method.routing_key and sent.fields["body"] == body
                if same and not sent.is_unrouted:
                    sent.is_unrouted = True
                    return
