"""The Redis broker.

Go source: ``v2/brokers/redis/redis.go`` (redigo), ``v2/brokers/redis/goredis.go`` (go-redis); v1 alike.

===============================  ==============================  ===========================================
a message that                   Go                              here
===============================  ==============================  ===========================================
cannot be decoded                is lost, the consumer restarts  goes to ``{queue}:gmpy:dead``, byte for byte
is not registered                ``RPUSH`` on the worker's queue the same, with pauses; dead after 50 tries
is not registered, ignored       is dropped                      the same
failed                           is gone (popped before it ran)  is removed with the write of its FAILURE
was held by a worker that died   is lost                         goes back to the head of the queue
===============================  ==============================  ===========================================
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Self

from gomachinery_py import redis_scripts as lua
from gomachinery_py import redis_transactions as tx
from gomachinery_py.brokers.base import Delivery, Recovered
from gomachinery_py.brokers.redis_kombu import RedisKombu
from gomachinery_py.brokers.redis_moves import RedisMoves
from gomachinery_py.brokers.redis_queues import RedisQueues, sha1_of
from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import WireError, WrongKeyType
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import brief
from gomachinery_py.logs import about_message
from gomachinery_py.wire import decode_signature, encode_signature, names
from gomachinery_py.wire.model import PENDING, RETRY, Signature

__all__ = ["RedisBroker"]

log = logging.getLogger(__name__)

_PAGE = 500
_PAGE_BYTES = 8 * 1024 * 1024
# One fetch brings no more, and one message beyond.
_FETCH_BYTES = 8 * 1024 * 1024
# So long the name of a worker that died is kept: it may only have slept.
_REMEMBERED_SECONDS = 3600
# Whoever recovers a worker that died while a task ran alone on it has done so long before.
_ALONE_SECONDS = 7 * 86_400
# A report of a worker that says nothing more is gone after so long; the last failures are kept for a week.
_REPORT_SECONDS = 60
_FAILURES = 100
_FAILURE_SECONDS = 7 * 86_400


class RedisBroker(RedisQueues, RedisMoves):
    """Lists, one sorted set for what is delayed, and (unless ``crash_safe`` is off) one list per worker."""

    keeps_revocations = True

    def __init__(
        self,
        port: Port,
        clock: Clock,
        default_queue: str,
        *,
        delayed_key: str = names.DELAYED_TASKS_KEY,
        crash_safe: bool = True,
        attempts_allowed: int = 3,
        suspect_after: int = 2,
    ) -> None:
        super().__init__(port, clock, default_queue)
        self.delayed_key = delayed_key
        self.crash_safe = crash_safe
        self.attempts_allowed = attempts_allowed
        #: Who was there when so many workers died runs alone: whatever the next one dies of is found out then.
        self.suspect_after = suspect_after
        # Queues that callbacks go to; what has been a list once is not looked at again.
        self._known_queues: set[str] = set()
        self._marks = itertools.count(1)
        # Names are made of the same words again and again: queue, worker, and the list that they have.
        self._last_inflight = ("", "", "")

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config, *, crash_safe: bool = True) -> Self:
        delayed_key = config.redis.delayed_tasks_key or names.DELAYED_TASKS_KEY
        return cls(port, clock, config.default_queue, delayed_key=delayed_key, crash_safe=crash_safe)

    # -- sending --

    def publish_commands(self, signature: Signature) -> list[Command]:
        self.adjust_routing_key(signature)
        body = self.encoded(signature)
        if signature.eta is not None:
            eta_ns = unix_ns(signature.eta)
            if eta_ns > self.clock.unix_ns():
                return [("ZADD", self.delayed_key, eta_ns, body)]
        return [("RPUSH", signature.routing_key, body)]

    async def check_queue(self, queue: str) -> None:
        if queue in ("", self.default_queue) or queue in self._known_queues:
            return
        kind = await self.port.execute(("TYPE", queue))
        if kind not in (b"list", b"none"):
            raise WrongKeyType(f"RoutingKey {brief(queue)!r} holds a {kind.decode()}, not a queue")
        if len(self._known_queues) < _PAGE:
            self._known_queues.add(queue)

    def reserved_names(self) -> set[str]:
        return {self.default_queue, self.delayed_key}

    # -- working --

    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:
        if not self.crash_safe:
            bodies = await self.port.execute(("LPOP", queue, limit))
            if not bodies and wait > 0:
                popped = await self.port.execute(("BLPOP", queue, wait))
                bodies = [popped[1]] if popped else []
            return [Delivery(queue, body, worker) for body in bodies or ()]
        deliveries = await self._take(queue, worker, limit)
        if not deliveries and wait > 0:
            inflight = names.inflight_key(queue, worker)
            body = await self.port.execute(("BLMOVE", queue, inflight, "LEFT", "RIGHT", wait))
            if body is not None:
                return await self._take(queue, worker, limit, body)
        return deliveries

    async def _take(self, queue: str, worker: str, limit: int, *moved: bytes) -> list[Delivery]:
        """Hold what is on the queue, beginning with a body that is in the list of this worker already, if it is."""
        keys = (queue, names.inflight_key(queue, worker), names.attempts_key(queue), names.workers_key(queue))
        mark = b"gmpy:%x." % next(self._marks)
        held, tries = await self.port.execute(lua.script(lua.FETCH, keys, worker, mark, limit, _FETCH_BYTES, *moved))
        return [
            Delivery(queue, entry[entry.index(b"\n") + 1 :], worker, count, entry)
            for entry, count in zip(held, tries or itertools.repeat(0), strict=False)
        ]

    def _hold(self, delivery: Delivery, *, remove: bool) -> tx.Hold | None:
        if not self.crash_safe:
            return None
        return tx.Hold(self._inflight(delivery), delivery.token or delivery.body, remove)

    async def holds(self, delivery: Delivery) -> bool:
        if self.sees_states or not self.crash_safe:
            return True
        return bool(await self.port.execute(self.transact(delivery, (), remove=False)) == tx.DONE)

    def can_fuse(self, port: Port) -> bool:
        return port is self.port

    def transact(
        self,
        delivery: Delivery | None,
        commands: Sequence[Command],
        *,
        remove: bool = True,
        absent: Sequence[str] = (),
        equals: Sequence[tuple[str, bytes]] = (),
    ) -> Command:
        hold = None if delivery is None else self._hold(delivery, remove=remove)
        if delivery is not None and delivery.attempts and remove:
            commands = [*commands, ("HDEL", names.attempts_key(delivery.queue), delivery.body)]
            if delivery.is_apart:
                commands.append(("HDEL", names.alone_key(delivery.queue), delivery.worker))
        return tx.transaction(commands, hold=hold, absent=absent, equals=equals)

    def begin(self, delivery: Delivery, uuid: str, seconds: int, head: bytes) -> Command:
        return tx.beginning(uuid, seconds, head, self._hold(delivery, remove=False))

    def end(self, delivery: Delivery, uuid: str, seconds: int, document: bytes) -> Command:
        return tx.ending(uuid, seconds, document, self._hold(delivery, remove=True))

    def is_suspect(self, delivery: Delivery) -> bool:
        return self.crash_safe and delivery.attempts >= self.suspect_after

    async def set_apart(self, delivery: Delivery) -> bool:
        key, mark = names.alone_key(delivery.queue), delivery.token[: delivery.token.index(b"\n") + 1]
        noted: list[Command] = [("HSET", key, delivery.worker, mark), ("EXPIRE", key, _ALONE_SECONDS)]
        delivery.is_apart = True
        reply = await self.port.execute(tx.transaction(noted, hold=self._hold(delivery, remove=False)))
        return bool(reply == tx.DONE)

    def _inflight(self, delivery: Delivery) -> str:
        queue, worker, key = self._last_inflight
        if delivery.queue != queue or delivery.worker != worker:
            key = names.inflight_key(delivery.queue, delivery.worker)
            self._last_inflight = (delivery.queue, delivery.worker, key)
        return key

    async def settle(self, delivery: Delivery) -> bool:
        if not self.crash_safe:
            return True
        reply = await self.port.execute(self.transact(delivery, ()))
        return bool(reply == tx.DONE)

    async def requeue(self, delivery: Delivery) -> None:
        # Not by :meth:`transact`, which forgets the attempts.
        back: list[Command] = [("RPUSH", delivery.queue, delivery.body)]
        await self.port.execute(tx.transaction(back, hold=self._hold(delivery, remove=True)))

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        # The last one first: each goes to the head, so the first ends up there.
        for delivery in reversed(deliveries):
            back: list[Command] = [("LPUSH", delivery.queue, delivery.body)]
            await self.port.execute(tx.transaction(back, hold=self._hold(delivery, remove=True)))

    async def bury(self, delivery: Delivery, reason: str) -> None:
        reply = await self.port.execute(self.transact(delivery, _burial(delivery.queue, delivery.body, reason)))
        if reply == tx.FOREIGN:
            keys = f"{brief(names.dead_key(delivery.queue))!r} or {brief(names.dead_reasons_key(delivery.queue))!r}"
            raise WrongKeyType(f"the key {keys} holds something that is not dead letters; rename or delete it")

    async def bury_body(self, queue: str, body: bytes, reason: str) -> None:
        await self.port.execute_many(_burial(queue, body, reason), atomic=True)

    async def beat(self, queue: str, worker: str) -> None:
        if self.crash_safe:
            await self.port.execute(lua.script(lua.BEAT, [names.workers_key(queue)], worker))

    async def report(self, queue: str, worker: str, report: bytes, failures: Sequence[bytes]) -> None:
        if not self.crash_safe:
            return
        commands: list[Command] = [("SET", names.report_key(queue, worker), report, "EX", _REPORT_SECONDS)]
        if failures:
            key = names.failures_key(queue)
            commands += [("LPUSH", key, *failures), ("LTRIM", key, 0, _FAILURES - 1), ("EXPIRE", key, _FAILURE_SECONDS)]
        await self.port.execute_many(commands)

    async def resume(self, queue: str, worker: str, known: Sequence[Delivery]) -> list[Delivery]:
        if not self.crash_safe:
            return []
        inflight = names.inflight_key(queue, worker)
        if await self.port.execute(("LLEN", inflight)) <= len(known):
            return []
        entries = await self.port.execute(("LRANGE", inflight, 0, -1))
        unknown = list((Counter(entries) - Counter(delivery.token for delivery in known)).elements())
        if not unknown:
            return []
        bodies = [tx.unmarked(entry) for entry in unknown]
        tries = await self.port.execute(("HMGET", names.attempts_key(queue), *bodies))
        missed = []
        for entry, body, count in zip(unknown, bodies, tries, strict=True):
            if entry != body:
                missed.append(Delivery(queue, body, worker, int(count or 0), entry))
            else:
                # Its fetch ended half-way, or will: whoever gives it a mark has it.
                missed += await self._take(queue, worker, 1, entry)
        return missed

    async def retire(self, queue: str, worker: str) -> None:
        if self.crash_safe:
            keys = (names.workers_key(queue), queue, names.inflight_key(queue, worker))
            signed_off = lua.script(lua.RETIRE, keys, worker)
            await self.port.execute_many([signed_off, ("DEL", names.report_key(queue, worker))])

    async def move_due(self) -> int:
        members = await self.port.execute(lua.script(lua.DUE, [self.delayed_key], _PAGE, _PAGE_BYTES))
        if not members:
            return 0
        dead, reasons = names.dead_key(self.default_queue), names.dead_reasons_key(self.default_queue)
        keys: list[str] = [self.delayed_key, dead, reasons]
        arguments: list[str | bytes] = ["delayed task: its routing key holds something that is no queue"]
        refused: list[Command] = []
        for member in members:
            try:
                signature = decode_signature(member)
                self.adjust_routing_key(signature)
                destination, body = signature.routing_key, encode_signature(signature)
                if destination == self.delayed_key or names.is_reserved_key(destination):
                    raise WireError("RoutingKey is the name of a key that is no queue")
            except WireError as error:
                destination, body = dead, member
                refused.append(_reason(self.default_queue, member, f"delayed task: {error}"))
                log.error(
                    "delayed task of %d bytes is kept as a dead letter: %s",
                    len(member),
                    brief(str(error), 300),
                    extra=about_message(member),
                )
            keys.append(destination)
            arguments.extend((member, body, sha1_of(member)))
        await self.port.execute_many(refused)
        return int(await self.port.execute(lua.script(lua.MOVE_DUE, keys, *arguments)))

    async def recover(self, queue: str) -> Recovered:
        if not self.crash_safe:
            return Recovered()
        workers = names.workers_key(queue)
        given_back, buried = 0, 0
        now, stale = await self.port.execute(lua.script(lua.STALE, [workers], self.lease))
        # Those that were recovered before are only looked at.
        silent = [(name.decode(), float(score)) for name, score in zip(stale[::2], stale[1::2], strict=True)]
        lengths = await self.port.execute_many([("LLEN", names.inflight_key(queue, name)) for name, _ in silent])
        for (worker, score), length in zip(silent, lengths, strict=True):
            if not length and now - _REMEMBERED_SECONDS <= -score:
                continue
            inflight = names.inflight_key(queue, worker)
            entries, alone = await self.port.execute_many(
                [("LRANGE", inflight, -_PAGE, -1), ("HGET", names.alone_key(queue), worker)]
            )
            keys = (
                workers,
                queue,
                inflight,
                names.attempts_key(queue),
                names.dead_key(queue),
                names.dead_reasons_key(queue),
                names.alone_key(queue),
            )
            reason = f"its worker died {self.attempts_allowed + 1} times while it ran"
            limits = (self.lease, self.suspect_after, self.attempts_allowed)
            started = [word for body in await self._suspicious(entries, alone) for word in (body, sha1_of(body))]
            moved = await self.port.execute(lua.script(lua.RECOVER, keys, worker, *limits, reason, _PAGE, *started))
            given_back += int(moved[0])
            buried += int(moved[1])
        return Recovered(given_back, buried)

    async def _suspicious(self, entries: Sequence[bytes], alone: bytes | None) -> list[bytes]:
        """The bodies of what a worker may have died of: only the one that ran alone, if one did."""
        if alone is not None:
            return [tx.unmarked(entry) for entry in entries if entry.startswith(alone)]
        return await self._started([tx.unmarked(entry) for entry in entries])

    async def _started(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Those that a worker had begun: only they may be what killed it. All, where states are kept elsewhere."""
        if not self.sees_states:
            return list(bodies)
        candidates = []
        for body in bodies:
            try:
                candidates.append((body, decode_signature(body).uuid))
            except WireError:
                continue
        states = await self.port.attempt_many([("GET", uuid) for _, uuid in candidates])
        waiting = tuple(f'"State":"{state}"'.encode() for state in (PENDING, RETRY))
        return [
            body
            for (body, _), state in zip(candidates, states, strict=True)
            if isinstance(state, bytes) and not any(mark in state for mark in waiting)
        ]

    def kombu(self) -> RedisKombu:
        return RedisKombu(self.port)

    async def check(self) -> None:
        await self.port.execute(("PING",))


def _reason(queue: str, body: bytes, reason: str) -> Command:
    return ("HSET", names.dead_reasons_key(queue), sha1_of(body), reason)


def _burial(queue: str, body: bytes, reason: str) -> list[Command]:
    return [("RPUSH", names.dead_key(queue), body), _reason(queue, body, reason)]
