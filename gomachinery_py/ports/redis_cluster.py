"""A Redis cluster: each command goes to the node of its key's slot, in one pipeline a node and round trip.

The connections are those of ``ports/redis.py``, one port a node. redis-py's own cluster client sends a command again
when a connection broke, and what pushes must never be sent twice on a guess; here only what a node *refused* (MOVED,
ASK) goes to another node. What could not be sent or answered is ServiceUnavailable, and the slots are asked for anew.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import hiredis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from gomachinery_py.config import Config
from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable
from gomachinery_py.ports.redis import RedisPort, RedisTarget, target_of
from gomachinery_py.ports.redis_batch import Batch
from gomachinery_py.urls import RedisURL

__all__ = ["RedisClusterPort", "open_port"]

_REDIRECTIONS: Final = 5
# After so many slots that have moved all are asked for anew.
_MOVED_AT_ONCE: Final = 16
_NOT_ENCODABLE: Final = (TypeError, ValueError)
_Node = tuple[str, int]


@dataclass(slots=True)
class _Unit:
    """Commands of one batch that go to one node together: one alone, or a whole MULTI."""

    batch: Batch
    start: int
    size: int
    slot: int | None
    #: Where ASK sent it.
    asked: _Node | None = None

    def redirection(self) -> MovedError | AskError | None:
        """The node's refusal, if it was that this is another one's; nothing was done then."""
        for reply in self.batch.replies[self.start : self.start + self.size]:
            if isinstance(reply, (MovedError, AskError)):
                return reply
        return None


class _Lane:
    """What one node gets in one round trip; replies are written through to the batches."""

    def __init__(self) -> None:
        self.units: list[_Unit] = []
        self.commands: list[tuple[Any, ...]] = []
        self.replies: list[Any] = []
        self.broken: ServiceUnavailable | None = None
        self._places: list[tuple[Batch, int] | None] = []
        self._unanswered = object()

    def add(self, unit: _Unit) -> None:
        self.units.append(unit)
        if unit.asked is not None:
            self._append(("ASKING",), None)
        for at in range(unit.start, unit.start + unit.size):
            self._append(unit.batch.commands[at], (unit.batch, at))

    def _append(self, command: tuple[Any, ...], place: tuple[Batch, int] | None) -> None:
        self.commands.append(command)
        self._places.append(place)
        self.replies.append(self._unanswered)

    def packed(self) -> bytes:
        return b"".join([hiredis.pack_command(command) for command in self.commands])

    def unknown_scripts(self) -> list[tuple[int, bytes]]:
        self.deliver()
        where = {(id(place[0]), place[1]): at for at, place in enumerate(self._places) if place is not None}
        batches = {id(unit.batch): unit.batch for unit in self.units if unit.asked is None}
        return [
            (where[key, at], whole)
            for key, batch in batches.items()
            for at, whole in batch.unknown_scripts()
            if (key, at) in where
        ]

    def deliver(self) -> None:
        """Give every reply to its batch; what has none says why."""
        for reply, place in zip(self.replies, self._places, strict=True):
            if place is None:
                continue
            batch, at = place
            if reply is not self._unanswered:
                batch.replies[at] = reply
            elif self.broken is not None:
                batch.broken = self.broken


@dataclass(slots=True)
class _Slots:
    """Which master has which slot, as a node told it."""

    masters: list[_Node]
    ranges: list[tuple[int, int, _Node]]
    moved: dict[int, _Node] = field(default_factory=dict)

    def node(self, slot: int | None) -> _Node | None:
        if slot is None:
            return self.masters[0] if self.masters else None
        if slot in self.moved:
            return self.moved[slot]
        return next((node for first, last, node in self.ranges if first <= slot <= last), None)


class RedisClusterPort(Port):
    """A Redis cluster, reached by any of its nodes. Threads and event loops share it as they do a RedisPort."""

    def __init__(self, label: str, targets: Sequence[RedisTarget]) -> None:
        self.label = label
        #: The host of a node that is told without one.
        self.host = targets[0].host
        self._seeds = [(target.host, target.port) for target in targets]
        self._target = targets[0]
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._nodes: dict[_Node, RedisPort] = {}
        self._slots: _Slots | None = None

    # -- blocking --

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        call = _Call(self, requests)
        for _ in range(_REDIRECTIONS):
            slots = self._slots
            if slots is None:
                asked = self._question()
                for node in self._known_nodes():
                    asked = self._question()
                    self._node(node).exchange(asked, asked.packed())
                    if (slots := self._told(asked, node)) is not None:
                        break
                else:
                    return call.failed(self._nobody(asked.broken))
            lanes = call.lanes(slots)
            for node, lane in lanes.items():
                self._node(node).exchange(lane, lane.packed())
            if not call.again(lanes.values()):
                break
        return call.results()

    def close(self) -> None:
        for port in list(self._nodes.values()):
            port.close()

    # -- asyncio --

    async def asend(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        call = _Call(self, requests)
        for _ in range(_REDIRECTIONS):
            slots = self._slots
            if slots is None:
                asked = self._question()
                for node in self._known_nodes():
                    asked = self._question()
                    await self._node(node).aexchange(asked, asked.packed())
                    if (slots := self._told(asked, node)) is not None:
                        break
                else:
                    return call.failed(self._nobody(asked.broken))
            lanes = call.lanes(slots)
            await asyncio.gather(*(self._node(node).aexchange(lane, lane.packed()) for node, lane in lanes.items()))
            if not call.again(lanes.values()):
                break
        return call.results()

    async def aclose(self) -> None:
        for port in list(self._nodes.values()):
            await port.aclose()

    # -- nodes --

    def _node(self, node: _Node) -> RedisPort:
        if self._pid != os.getpid():
            # A fork may have happened while another thread held the lock.
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            port = self._nodes.get(node)
            if port is None:
                host, number = node
                target = replace(self._target, host=host, port=number, label=f"{self.label} (node {host}:{number})")
                port = self._nodes[node] = RedisPort(target)
            return port

    def _known_nodes(self) -> list[_Node]:
        return list(dict.fromkeys([*self._nodes, *self._seeds]))

    def _question(self) -> Batch:
        return Batch([Request(self, [("CLUSTER", "SLOTS")])])

    def _told(self, asked: Batch, by: _Node) -> _Slots | None:
        """The slots as a node answered, or None when it did not; one that cannot say it is asked no more."""
        [answer] = asked.results()
        if isinstance(answer, Exception) or not isinstance(answer[0], list):
            if not isinstance(answer, Exception):
                asked.broken = ServiceUnavailable(f"Redis at {self.label} does not tell its slots: {answer[0]}")
            return None
        ranges = []
        for first, last, (host, port, *_), *_ in answer[0]:
            # A node that does not know its own name is the one that was asked.
            ranges.append((int(first), int(last), ((host or b"").decode() or by[0], int(port))))
        if not ranges:
            asked.broken = ServiceUnavailable(f"Redis cluster {self.label} has no slots yet; was it created?")
            return None
        slots = _Slots(list(dict.fromkeys(node for _, _, node in ranges)), ranges)
        self._slots = slots
        return slots

    def _nobody(self, error: ServiceUnavailable | None) -> ServiceUnavailable:
        return error or ServiceUnavailable(f"no node of the Redis cluster {self.label} answers; is it running?")

    def forget_slots(self) -> None:
        """Ask anew before the next command."""
        self._slots = None


class _Call:
    """Requests on their way through a cluster."""

    def __init__(self, port: RedisClusterPort, requests: Sequence[Request]) -> None:
        self._port = port
        self._batches: list[Batch | ServiceError] = []
        self._left: list[_Unit] = []
        self._scans: dict[int, int] = {}
        for number, request in enumerate(requests):
            self._batches.append(self._prepared(number, request))

    def _prepared(self, number: int, request: Request) -> Batch | ServiceError:
        scan = request.commands[0] if len(request.commands) == 1 else None
        if scan is not None and scan[0] == "SCAN":
            # The cursor of a cluster says which master it is of.
            node, _, cursor = bytes(scan[1]).rpartition(b":")
            self._scans[number] = int(node or 0)
            request = Request(request.port, [("SCAN", cursor, *scan[2:])])
        batch = Batch([request], self._port.observer)
        try:
            batch.packed()
            units = list(_units(batch, atomic=request.atomic))
        except _NOT_ENCODABLE as error:
            return ServiceError(f"Redis: {error}")
        self._left += units
        return batch

    def lanes(self, slots: _Slots) -> dict[_Node, _Lane]:
        """What is left, by the node that it goes to."""
        lanes: dict[_Node, _Lane] = {}
        scanned = {id(self._batches[number]): node for number, node in self._scans.items()}
        for unit in self._left:
            if (at := scanned.get(id(unit.batch))) is not None:
                node: _Node | None = slots.masters[min(at, len(slots.masters) - 1)]
            else:
                node = unit.asked or slots.node(unit.slot)
            if node is None:
                unit.batch.broken = ServiceUnavailable("Redis cannot do this now: no node of the cluster has its slot")
                self._port.forget_slots()
                continue
            lanes.setdefault(node, _Lane()).add(unit)
        self._slots = slots
        return lanes

    def again(self, lanes: Iterable[_Lane]) -> bool:
        """Take the replies; True when something was sent to the wrong node and has to go to another one."""
        self._left = []
        for lane in lanes:
            lane.deliver()
            if lane.broken is not None or any(
                isinstance(reply, (ClusterDownError, TryAgainError)) for reply in lane.replies
            ):
                self._port.forget_slots()
            for unit in lane.units:
                refusal = unit.redirection()
                if isinstance(refusal, MovedError):
                    unit.asked = None
                    self._slots.moved[int(refusal.slot_id)] = (refusal.host or self._port.host, int(refusal.port))
                    if len(self._slots.moved) % _MOVED_AT_ONCE == 0:
                        self._port.forget_slots()
                elif refusal is not None:
                    command = unit.batch.commands[unit.start][0]
                    if command in ("MULTI", "EVALSHA"):
                        _put_off(unit, TryAgainError("its slot is being moved to another node"))
                        continue
                    unit.asked = (refusal.host or self._port.host, int(refusal.port))
                else:
                    continue
                self._left.append(unit)
        return bool(self._left)

    def failed(self, error: ServiceUnavailable) -> list[list[Any] | Exception]:
        """Nobody could be asked where anything belongs."""
        left = {id(unit.batch) for unit in self._left}
        for batch in self._batches:
            if isinstance(batch, Batch) and id(batch) in left:
                batch.broken = error
        for unit in self._left:
            _put_off(unit, TryAgainError(str(error)))
        return [
            error if isinstance(batch, Batch) and id(batch) in left else answer
            for batch, answer in zip(self._batches, self.results(), strict=True)
        ]

    def results(self) -> list[list[Any] | Exception]:
        for unit in self._left:
            if unit.redirection() is not None:
                _put_off(unit, TryAgainError("the cluster is changing"))
        answers: list[list[Any] | Exception] = []
        for number, batch in enumerate(self._batches):
            if isinstance(batch, ServiceError):
                answers.append([batch])
                continue
            [answer] = batch.results()
            if number in self._scans and isinstance(answer, list) and isinstance(answer[0], list):
                answer = [[self._next_cursor(self._scans[number], answer[0][0]), answer[0][1]]]
            answers.append(answer)
        return answers

    def _next_cursor(self, node: int, cursor: bytes) -> bytes:
        if cursor != b"0":
            return b"%d:%b" % (node, cursor)
        return b"%d:0" % (node + 1) if node + 1 < len(self._slots.masters) else b"0"


def _put_off(unit: _Unit, error: Exception) -> None:
    unit.batch.replies[unit.start : unit.start + unit.size] = [error] * unit.size


def _units(batch: Batch, *, atomic: bool) -> Iterable[_Unit]:
    if atomic:
        slots = {slot for command in batch.commands for slot in _slots_of(command)}
        if len(slots) > 1:
            raise ValueError("keys of several slots cannot be written as one step on a cluster")
        yield _Unit(batch, 0, len(batch.commands), next(iter(slots), None))
        return
    for at, command in enumerate(batch.commands):
        yield _Unit(batch, at, 1, next(iter(_slots_of(command)), None))


def _slots_of(command: tuple[Any, ...]) -> list[int]:
    """The slot of a command's first key, if it has one; the node checks the others."""
    name = command[0]
    if name in ("PING", "SCAN", "MULTI", "EXEC", "TIME", "INFO"):
        return []
    if name in ("EVAL", "EVALSHA"):
        return [_slot(command[3])] if int(command[2]) else []
    return [_slot(command[1])]


def _slot(key: str | bytes) -> int:
    return int(key_slot(key.encode() if isinstance(key, str) else key))


def open_port(url: RedisURL, config: Config) -> RedisClusterPort:
    """A port to the cluster that a URL names by one or several of its nodes; nothing is connected yet."""
    if not url.hosts:
        raise ConfigError(f"{url.url}: a cluster is reached by host:port, not by a unix socket")
    # A cluster has no other database; Go ignores the URL's as well.
    url = replace(url, db=0)
    return RedisClusterPort(str(url.url), [target_of(url, config, address) for address in url.hosts])
