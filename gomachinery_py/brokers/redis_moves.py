"""Moving tasks away from Redis, and to it: a page at a time, exactly once between any two Redis servers.

A page that leaves is a list of its own beside the queue, ``{queue}:gmpy:leaving:<mover>``, from the moment it is taken
until it is known to have arrived, so a mover that is killed leaves it to the next one. The page does not change, so
each task in it has a name: mover, page, place. A Redis that it goes to keeps these names in
``{queue}:gmpy:arrived:<mover>``, written in the same script as the task, until the page is gone: what is sent a second
time is known there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DEAD, DELAYED, PENDING, Arrival, Departure, Mover
from gomachinery_py.brokers.redis_queues import sha1_of
from gomachinery_py.effects import Command
from gomachinery_py.errors import ServiceError, WrongKeyType
from gomachinery_py.incoming import brief
from gomachinery_py.redis_scripts import script
from gomachinery_py.wire import names

__all__ = ["RedisMoves"]

_HOLD: Final = """\
-- KEYS: place, leaving, movers   ARGV: mover, about, how far to look, body...
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return -1 end
redis.call('HSET', KEYS[3], ARGV[1] .. ' seen', redis.call('TIME')[1])
if redis.call('EXISTS', KEYS[2]) == 1 then return -2 end
local held = 0
local kind = redis.call('TYPE', KEYS[1])
kind = kind['ok'] or kind
for i = 4, #ARGV do
  if kind == 'zset' then
    local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if score then
      redis.call('ZREM', KEYS[1], ARGV[i])
      redis.call('ZADD', KEYS[2], score, ARGV[i])
      held = held + 1
    end
  elseif kind == 'list' and redis.call('LPOS', KEYS[1], ARGV[i], 'MAXLEN', ARGV[3]) then
    -- Only so far: what a worker has taken meanwhile is not looked for among a million others.
    redis.call('LREM', KEYS[1], 1, ARGV[i])
    redis.call('RPUSH', KEYS[2], ARGV[i])
    held = held + 1
  end
end
if held > 0 then redis.call('HINCRBY', KEYS[3], ARGV[1] .. ' page', 1) end
return held
"""

_LOOK: Final = """\
-- KEYS: delayed   ARGV: first, last
local found = {}
for i, body in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])) do
  found[#found + 1] = body
  found[#found + 1] = redis.call('ZSCORE', KEYS[1], body)
end
return found
"""

_LEAVING: Final = """\
-- KEYS: leaving, movers   ARGV: mover.   Reply: page, kind of the key, what is held.
local kind = redis.call('TYPE', KEYS[1])
kind = kind['ok'] or kind
local page = tonumber(redis.call('HGET', KEYS[2], ARGV[1] .. ' page') or 0)
if kind == 'list' then return {page, kind, redis.call('LRANGE', KEYS[1], 0, -1)} end
if kind == 'zset' then return {page, kind, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'WITHSCORES')} end
return {page, kind, {}}
"""

_FREE: Final = """\
-- The page has arrived, but for what goes back to where it was taken: a list's head, in its order.
-- KEYS: place, leaving, movers   ARGV: mover, about, body that goes back...
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return -1 end
redis.call('HSET', KEYS[3], ARGV[1] .. ' seen', redis.call('TIME')[1])
local kind = redis.call('TYPE', KEYS[2])
kind = kind['ok'] or kind
for i = #ARGV, 3, -1 do
  if kind == 'zset' then
    redis.call('ZADD', KEYS[1], redis.call('ZSCORE', KEYS[2], ARGV[i]), ARGV[i])
  else
    redis.call('LPUSH', KEYS[1], ARGV[i])
  end
end
redis.call('DEL', KEYS[2])
return 1
"""

_ABOUT: Final = """\
-- KEYS: movers   ARGV: mover, what it must say of itself (nothing: it must be new), what it says from now on
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and known ~= ARGV[2] then return 0 end
if not known and ARGV[2] ~= '' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3], ARGV[1] .. ' seen', redis.call('TIME')[1])
return 1
"""

_END: Final = """\
-- KEYS: leaving, movers   ARGV: mover, about
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1], ARGV[1] .. ' seen', ARGV[1] .. ' page')
return 1
"""

_MOVERS: Final = """\
-- KEYS: movers
return {tonumber(redis.call('TIME')[1]), redis.call('HGETALL', KEYS[1])}
"""

_ARRIVE: Final = """\
-- KEYS: where it goes, arrived   ARGV: kind of key, seconds, (identity, score, body)...
local kind = redis.call('TYPE', KEYS[1])
kind = kind['ok'] or kind
if kind ~= 'none' and kind ~= ARGV[1] then return -4 end
local new = 0
for i = 3, #ARGV, 3 do
  if ARGV[i] == '' or redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    if ARGV[1] == 'zset' then redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i + 2])
    else redis.call('RPUSH', KEYS[1], ARGV[i + 2]) end
    new = new + 1
  end
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
return new
"""

# Longer than SQS keeps a message, and than anybody should wait before he goes on with what was interrupted.
_REMEMBERED_SECONDS: Final = 30 * 24 * 3600


class RedisMoves(Broker):
    """The part of the Redis broker that moves tasks."""

    delayed_key: str
    holds_departures = True
    arrives_once = True

    # -- leaving --

    def _place(self, queue: str, kind: str) -> str:
        return {PENDING: queue, DELAYED: self.delayed_key, DEAD: names.dead_key(queue)}[kind]

    def _slot(self, queue: str, kind: str) -> str:
        """The key that our own ones stand beside."""
        return self.delayed_key if kind == DELAYED else queue

    def _keys(self, queue: str, kind: str, mover: str) -> tuple[str, str, str]:
        slot = self._slot(queue, kind)
        return self._place(queue, kind), names.leaving_key(slot, mover), names.movers_key(slot)

    async def look(self, queue: str, kind: str, start: int, count: int) -> list[Departure]:
        if kind == DEAD:
            return [Departure(DEAD, body, reason=reason) for body, reason in await self.dead(queue, start, count)]
        if kind == PENDING:
            return [Departure(PENDING, body) for body in await self.pending(queue, start, count)]
        found = await self.port.execute(script(_LOOK, [self.delayed_key], start, start + count - 1))
        pairs = zip(found[::2], found[1::2], strict=True)
        return [Departure(DELAYED, body, round(float(score))) for body, score in pairs]

    async def hold(
        self, queue: str, kind: str, mover: str, about: bytes, reach: int, bodies: Sequence[bytes]
    ) -> list[Departure]:
        held = await self.port.execute(
            script(_HOLD, self._keys(queue, kind, mover), mover, about, max(1, reach), *bodies)
        )
        if held == -1:
            raise ServiceError(f"another move has taken over what this one held of {brief(queue)!r}; run it again")
        return await self.held(queue, kind, mover) if held else []

    async def held(self, queue: str, kind: str, mover: str) -> list[Departure]:
        _, leaving, movers = self._keys(queue, kind, mover)
        page, key_kind, found = await self.port.execute(script(_LEAVING, [leaving, movers], mover))
        if key_kind == b"zset":
            pairs = zip(found[::2], found[1::2], strict=True)
            departures = [Departure(kind, body, round(float(score))) for body, score in pairs]
        else:
            departures = [Departure(kind, body) for body in found]
        for at, departure in enumerate(departures):
            departure.identity = f"{page}.{at}"
        if kind == DEAD and departures:
            shas = [sha1_of(departure.body) for departure in departures]
            reasons = await self.port.execute(("HMGET", names.dead_reasons_key(queue), *shas))
            for departure, reason in zip(departures, reasons, strict=True):
                departure.reason = (reason or b"").decode("utf-8", "replace")
        return departures

    async def free(
        self, queue: str, kind: str, mover: str, about: bytes, gone: Sequence[bytes], back: Sequence[bytes]
    ) -> None:
        done = await self.port.execute(script(_FREE, self._keys(queue, kind, mover), mover, about, *back))
        if done == -1:
            raise ServiceError(f"another move has taken over what this one held of {brief(queue)!r}; run it again")
        if kind == DEAD and gone:
            await self.port.execute(("HDEL", names.dead_reasons_key(queue), *map(sha1_of, gone)))

    async def movers(self, queue: str, kind: str) -> list[Mover]:
        slot = self._slot(queue, kind)
        now, flat = await self.port.execute(script(_MOVERS, [names.movers_key(slot)]))
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        found = []
        for field, about in told.items():
            if b" " not in field and field.startswith(kind.encode()):
                name = field.decode("utf-8", "replace")
                page, silent = int(told.get(field + b" page", 0)), now - float(told.get(field + b" seen", 0))
                found.append(Mover(name, about, page, silent, len(await self.held(queue, kind, name))))
        return found

    async def take_over(self, queue: str, kind: str, mover: str, before: bytes, about: bytes) -> bool:
        movers = names.movers_key(self._slot(queue, kind))
        return bool(await self.port.execute(script(_ABOUT, [movers], mover, before, about)))

    async def end_mover(self, queue: str, kind: str, mover: str, about: bytes) -> None:
        _, leaving, movers = self._keys(queue, kind, mover)
        await self.port.execute(script(_END, [leaving, movers], mover, about))

    async def is_left_by(self, queue: str, kind: str, mover: str) -> bool:
        movers = names.movers_key(self._slot(queue, kind))
        return await self.port.execute(("HGET", movers, mover)) is not None

    # -- arriving --

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        for (kind, queue), some in _sorted(arrivals).items():
            place, slot = self._place(queue, kind), self._slot(queue, kind)
            if kind == DEAD:
                reasons = [word for each in some for word in (sha1_of(each.body), each.reason)]
                await self.port.execute(("HSET", names.dead_reasons_key(queue), *reasons))
            words: list[str | int | bytes] = []
            for each in some:
                words += (each.identity, each.due_ns or 0, each.body)
            key_kind = "zset" if kind == DELAYED else "list"
            keys = [place, names.arrived_key(slot, mover)]
            done = await self.port.execute(script(_ARRIVE, keys, key_kind, _REMEMBERED_SECONDS, *words))
            if done == -4:
                raise WrongKeyType(f"the key {brief(place)!r} holds something that is not a queue; nothing was moved")
        return [None] * len(arrivals)

    async def forget_arrived(self, mover: str, arrivals: Sequence[Arrival]) -> None:
        commands: list[Command] = []
        for (kind, queue), some in _sorted(arrivals).items():
            identities = [each.identity for each in some if each.identity]
            if identities:
                commands.append(("SREM", names.arrived_key(self._slot(queue, kind), mover), *identities))
        await self.port.execute_many(commands)


def _sorted(arrivals: Sequence[Arrival]) -> dict[tuple[str, str], list[Arrival]]:
    """By where they go, each in their order."""
    places: dict[tuple[str, str], list[Arrival]] = {}
    for each in arrivals:
        places.setdefault((each.kind, each.queue), []).append(each)
    return places
