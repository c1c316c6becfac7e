"""One request under way: its commands, in their order, on one channel.

Declarations and publishes are sent without waiting for each other; RabbitMQ carries them out in order. Anything that
is answered by itself waits until what was sent before it is known to have worked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pika.exceptions import AMQPError

from gomachinery_py.amqp_commands import NO_ROUTE, AMQPRefused
from gomachinery_py.effects import Command
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.amqp_lane import Lane
from gomachinery_py.ports.amqp_target import refused, table

if TYPE_CHECKING:
    from gomachinery_py.ports.amqp_link import Link

__all__ = ["ANSWER_SECONDS", "Run", "not_routed", "not_taken"]

ANSWER_SECONDS = 10.0
"""So long RabbitMQ may be silent while something waits for it."""

_PIPED = {"exchange_declare", "queue_declare", "queue_bind", "basic_publish", "ensure"}
_REFUSALS = (AMQPError, ServiceError, TypeError, ValueError, OverflowError)


def not_routed(published: dict[str, Any]) -> AMQPRefused:
    """A message came back."""
    return AMQPRefused(f"RabbitMQ: no queue takes the routing key {published['routing_key']!r}", NO_ROUTE)


def not_taken() -> AMQPRefused:
    """A message was nacked."""
    return AMQPRefused("RabbitMQ did not take the message: is its queue full?", 0)


class Run:
    """``done(replies)`` is called once, or ``done(error)`` when the request as a whole came to nothing."""

    def __init__(self, link: Link, commands: Sequence[Command], done: Callable[[list[Any] | Exception], None]) -> None:
        self.commands = commands
        #: When it counts as not answered; None while it waits for something that has a limit of its own.
        self.deadline: float | None = None
        self._link = link
        self._done: Callable[[list[Any] | Exception], None] | None = done
        self._replies: list[Any] = [None] * len(commands)
        self._todo = deque(range(len(commands)))
        self._lane: Lane | None = None
        self._lane_asked = False
        self._unconfirmed: dict[int, int] = {}
        self._unrouted: set[int] = set()
        # Sent without an answer: before the last publish, whose confirm covers them, and after it.
        self._covered: list[int] = []
        self._tail: list[int] = []
        # Declared, and answered while publishes are under way.
        self._asked: set[int] = set()
        self._barrier = False
        self._current: int | None = None
        self._stepping = False
        self._keys: set[str] = set()
        self._skipped: set[str] = set()

    def begin(self) -> None:
        """There is a connection."""
        self.deadline = self._link.now() + ANSWER_SECONDS
        self.step()

    # -- going on --

    def step(self) -> None:
        """Send what can be sent."""
        if self._stepping or self._done is None:
            return
        self._stepping = True
        try:
            while self._todo and self._current is None:
                if not self._send_next():
                    return
        finally:
            self._stepping = False
        if self._current is None and self._is_certain() and not self._sent_again():
            self._finish(self._replies)

    def _send_next(self) -> bool:
        """Send the next command; False when something has to happen first."""
        index = self._todo[0]
        name, fields = self.commands[index]
        own = self._link.own_commands.get(name)
        if own is None and self._lane is None:
            if not self._lane_asked:
                self._lane_asked = True
                self._link.lanes.acquire(self)
            if self._lane is None:
                return False
        piped = name in _PIPED and not (fields.get("passive") or fields.get("answered") is True)
        if self._barrier or (not piped and not self._is_certain()):
            return False
        self._todo.popleft()
        try:
            if piped:
                self._pipe(index, name, fields)
            else:
                self._current = index
                if own is None:
                    getattr(self, f"_{name}")(fields)
                else:
                    self.deadline = None
                    own(fields, self._replied)
        except _REFUSALS as error:
            self._current = None
            self._replies[index] = refused(error)
        return True

    def _is_certain(self) -> bool:
        """Whether everything that was sent is known to have worked; sees to it that it will be."""
        if self._tail and not self._barrier and self._lane is not None:
            self._barrier = True
            self._lane.channel.basic_qos(prefetch_count=0, callback=self._passed)
        return not (self._unconfirmed or self._tail or self._barrier or self._asked)

    def _pipe(self, index: int, name: str, fields: dict[str, Any]) -> None:
        assert self._lane is not None
        if name == "ensure":
            if fields["key"] in self._link.ensured:
                self._skipped.add(fields["key"])
                return
            self._keys.add(fields["key"])
            self._tail.append(index)
            for each, its in fields["commands"]:
                self._lane.send(each, its)
            return
        if fields.get("answered"):
            self._asked.add(index)
            self._declare(fields, lambda _frame: self._was_declared(index))
            return
        self._lane.send(name, fields)
        if name == "basic_publish":
            self._unconfirmed[self._lane.published] = index
            self._covered += self._tail
            self._tail.clear()
        else:
            self._tail.append(index)

    def _progress(self) -> None:
        self.deadline = self._link.now() + ANSWER_SECONDS

    def _was_declared(self, index: int) -> None:
        self._asked.discard(index)
        self._progress()
        self.step()

    def _passed(self, _frame: Any) -> None:
        self._barrier = False
        self._tail.clear()
        self._progress()
        self.step()

    def _replied(self, reply: Any) -> None:
        index, self._current = self._current, None
        if index is None or self._done is None:
            return
        if isinstance(reply, ServiceUnavailable):
            self._finish(reply)
            return
        self._replies[index] = reply
        self._progress()
        self.step()

    def _sent_again(self) -> bool:
        """Send what found no queue a second time, with the declarations that were thought to be in place."""
        if not (self._unrouted and self._skipped):
            return False
        self._link.ensured -= self._skipped
        self._skipped.clear()
        again = [at for at, (name, _) in enumerate(self.commands) if name == "ensure" or at in self._unrouted]
        self._todo.extend(again)
        self._unrouted.clear()
        self.step()
        return True

    def _finish(self, answer: list[Any] | Exception) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        if self._keys and isinstance(answer, list) and not any(isinstance(reply, Exception) for reply in answer):
            self._link.ensured |= self._keys
        lane, self._lane = self._lane, None
        if lane is not None:
            if isinstance(answer, Exception):
                self._link.lanes.discard(lane)
            else:
                self._link.lanes.release(lane)
        self._link.over(self)
        if isinstance(answer, Exception) and self._has_taken():
            # What was taken is nowhere else now.
            answer = [answer if reply is None else reply for reply in self._replies]
        done(answer)

    def _has_taken(self) -> bool:
        return any(command[0] == "take" and reply for command, reply in zip(self.commands, self._replies, strict=True))

    def fail(self, error: Exception) -> None:
        """The connection could not be had, or the server is silent."""
        self._finish(error)

    # -- the lane's owner --

    def opened(self, lane: Lane) -> None:
        if self._done is None:
            self._link.lanes.release(lane)
            return
        self._lane = lane
        self.step()

    def lost(self, error: ServiceError | ServiceUnavailable) -> None:
        lane, self._lane = self._lane, None
        self._lane_asked = False
        if isinstance(error, ServiceUnavailable):
            self._finish(error)
            return
        if lane is not None:
            self._link.lanes.discard(lane)
        hit = {*self._unconfirmed.values(), *self._covered, *self._tail, *self._asked}
        if hit:
            # What was not sent yet relied on it.
            hit.update(self._todo)
            self._todo.clear()
        if self._current is not None:
            hit.add(self._current)
        for index in hit:
            self._replies[index] = error
        self._unconfirmed.clear()
        self._covered.clear()
        self._tail.clear()
        self._asked.clear()
        self._barrier, self._current = False, None
        self.step()

    def confirmed(self, tag: int, multiple: bool, ok: bool) -> None:
        tags = [each for each in self._unconfirmed if each <= tag] if multiple else [tag]
        for each in tags:
            index = self._unconfirmed.pop(each, None)
            if index is None:
                continue
            if index in self._unrouted:
                self._replies[index] = not_routed(self.commands[index][1])
            else:
                self._replies[index] = None if ok else not_taken()
        if not self._unconfirmed:
            self._covered.clear()
        self._progress()
        self.step()

    def returned(self, method: Any, body: bytes) -> None:
        for index in self._unconfirmed.values():
            fields = self.commands[index][1]
            same = fields["routing_key"] == method.routing_key and fields["body"] == body
            if same and index not in self._unrouted:
                self._unrouted.add(index)
                return

    # -- commands that are answered by themselves --

    def _queue_declare(self, fields: dict[str, Any]) -> None:
        def declared(frame: Any) -> None:
            self._replied((frame.method.message_count, frame.method.consumer_count))

        self._declare(fields, declared)

    def _declare(self, fields: dict[str, Any], answered: Callable[[Any], None]) -> None:
        assert self._lane is not None
        told = {name: value for name, value in fields.items() if name != "answered"}
        told["arguments"] = table(told.get("arguments"))
        self._lane.channel.queue_declare(**told, callback=answered)

    def _queue_purge(self, fields: dict[str, Any]) -> None:
        assert self._lane is not None
        self._lane.channel.queue_purge(
            fields["queue"], callback=lambda frame: self._replied(frame.method.message_count)
        )

    def _queue_delete(self, fields: dict[str, Any]) -> None:
        assert self._lane is not None
        self._lane.channel.queue_delete(
            fields["queue"], callback=lambda frame: self._replied(frame.method.message_count)
        )

    def _queue_unbind(self, fields: dict[str, Any]) -> None:
        assert self._lane is not None
        told = {**fields, "arguments": table(fields.get("arguments"))}
        self._lane.channel.queue_unbind(**told, callback=lambda _frame: self._replied(None))

    def _browse(self, fields: dict[str, Any]) -> None:
        self._read(fields["queue"], fields["start"], fields["count"], give_back=True)

    def _take(self, fields: dict[str, Any]) -> None:
        self._read(fields["queue"], 0, fields["count"], give_back=False)

    def _read(self, queue: str, start: int, count: int, *, give_back: bool) -> None:
        lane = self._lane
        assert lane is not None
        found: list[tuple[bytes, dict[str, Any]]] = []
        last, seen = 0, 0

        def got(method: Any, properties: Any, body: bytes | None) -> None:
            nonlocal last, seen
            if body is not None:
                last, seen = method.delivery_tag, seen + 1
                if seen > start:
                    found.append((body, properties.headers or {}))
                if seen < start + count:
                    self._progress()
                    lane.get(queue, got)
                    return
            if last and give_back:
                lane.channel.basic_nack(last, multiple=True, requeue=True)
            elif last:
                lane.channel.basic_ack(last, multiple=True)
            self._replied(found)

        lane.get(queue, got)

    def _move(self, fields: dict[str, Any]) -> None:
        """One message: fetched, published to a queue with its own properties, acknowledged when that is confirmed."""
        lane = self._lane
        assert lane is not None

        def got(method: Any, properties: Any, body: bytes | None) -> None:
            if body is None:
                self._replied(0)
                return
            properties.headers = {
                key: value for key, value in (properties.headers or {}).items() if key not in fields["drop_headers"]
            }
            lane.owner = mover = _Move(self, lane, method.delivery_tag)
            lane.channel.basic_publish("", fields["to"], body, properties, mandatory=True)
            lane.published += 1
            mover.published = lane.published

        lane.get(fields["queue"], got)


class _Move:
    """Owns the lane while a moved message is not confirmed."""

    def __init__(self, run: Run, lane: Lane, tag: int) -> None:
        self._run = run
        self._lane = lane
        self._tag = tag
        self._unrouted = False
        self.published = 0

    def opened(self, lane: Lane) -> None:
        raise AssertionError(f"{lane!r} was open already")

    def lost(self, error: ServiceError | ServiceUnavailable) -> None:
        self._run.lost(error)

    def returned(self, method: Any, body: bytes) -> None:  # noqa: ARG002
        self._unrouted = True

    def confirmed(self, tag: int, multiple: bool, ok: bool) -> None:  # noqa: ARG002
        self._lane.owner = self._run
        if ok and not self._unrouted:
            self._lane.channel.basic_ack(self._tag)
            self._run._replied(1)
        else:
            self._lane.channel.basic_nack(self._tag, requeue=True)
            self._run._replied(AMQPRefused("RabbitMQ did not take the message back into its queue", NO_ROUTE))
