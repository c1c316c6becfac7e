"""The Lua that makes several Redis steps one, and the commands that call it.

Every script touches only keys that it is given in ``KEYS``. A script is sent as ``("EVAL", text, ...)``; the port
turns it into EVALSHA. Replies are plain integers and lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gomachinery_py.effects import Command

__all__ = [
    "BEAT",
    "CHANGED",
    "DONE",
    "DUE",
    "FETCH",
    "LOCKED",
    "MOVE_DUE",
    "NOT_HELD",
    "RECOVER",
    "SCRIPTS",
    "Hold",
    "script",
    "transaction",
]

DONE: Final = 1
NOT_HELD: Final = -1
LOCKED: Final = -2
CHANGED: Final = -3

_TRANSACTION: Final = """\
-- Conditions first, then commands; nothing happens unless every condition holds.
-- ARGV: hold ('', 'check' or 'remove'), body, absent, equals, (value) x equals, then (count, word...) per command
-- KEYS: (inflight list when held), (key) x absent, (key) x equals, keys of the commands
local at, key = 5, 1
if ARGV[1] ~= '' then
  if not redis.call('LPOS', KEYS[key], ARGV[2]) then return -1 end
  key = key + 1
end
for i = 1, tonumber(ARGV[3]) do
  if redis.call('EXISTS', KEYS[key]) == 1 then return -2 end
  key = key + 1
end
for i = 1, tonumber(ARGV[4]) do
  if redis.call('GET', KEYS[key]) ~= ARGV[at] then return -3 end
  key = key + 1
  at = at + 1
end
if ARGV[1] == 'remove' then redis.call('LREM', KEYS[1], 1, ARGV[2]) end
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return 1
"""

FETCH: Final = """\
-- KEYS: queue, inflight, attempts   ARGV: how many, (body already taken)
local taken = {}
if ARGV[2] then taken[1] = ARGV[2] end
for i = 1, tonumber(ARGV[1]) do
  local body = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  if not body then break end
  taken[#taken + 1] = body
end
local tries = {}
if #taken > 0 and redis.call('EXISTS', KEYS[3]) == 1 then
  for i, body in ipairs(taken) do
    tries[i] = tonumber(redis.call('HGET', KEYS[3], redis.sha1hex(body)) or 0)
  end
end
return {taken, tries}
"""

BEAT: Final = """\
-- KEYS: workers   ARGV: worker
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1], ARGV[1])
return tonumber(now[1])
"""

STALE: Final = """\
-- KEYS: workers   ARGV: lease in seconds
local now = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', tonumber(now[1]) - tonumber(ARGV[1]))
"""

RECOVER: Final = """\
-- Gives a dead worker's tasks back to the head of the queue, in their order.
-- KEYS: workers, queue, inflight, attempts, dead, reasons
-- ARGV: worker, lease, attempts allowed, reason, (body that had been started)...
local now = tonumber(redis.call('TIME')[1])
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
if beat and tonumber(beat) > now - tonumber(ARGV[2]) then return -1 end
local started = {}
for i = 5, #ARGV do started[ARGV[i]] = true end
local moved = 0
while moved < 1000 do
  local body = redis.call('RPOP', KEYS[3])
  if not body then break end
  local sha, tries = redis.sha1hex(body), 0
  if started[body] then tries = redis.call('HINCRBY', KEYS[4], sha, 1) end
  if tries > tonumber(ARGV[3]) then
    redis.call('RPUSH', KEYS[5], body)
    redis.call('HSET', KEYS[6], sha, ARGV[4])
    redis.call('HDEL', KEYS[4], sha)
  else
    redis.call('LPUSH', KEYS[2], body)
  end
  moved = moved + 1
end
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
return moved
"""

DUE: Final = """\
-- KEYS: delayed   ARGV: how many.   Due by the server's own clock, the oldest first.
local now = redis.call('TIME')
local ns = string.format('%d%06d000', tonumber(now[1]), tonumber(now[2]))
return redis.call('ZRANGEBYSCORE', KEYS[1], 0, ns, 'LIMIT', 0, tonumber(ARGV[1]))
"""

MOVE_DUE: Final = """\
-- KEYS: delayed, (destination) x n   ARGV: (member, body) x n.   One that another mover took is left alone.
local moved = 0
for i = 2, #KEYS do
  local at = (i - 2) * 2
  if redis.call('ZREM', KEYS[1], ARGV[at + 1]) == 1 then
    redis.call('RPUSH', KEYS[i], ARGV[at + 2])
    moved = moved + 1
  end
end
return moved
"""

SCRIPTS: Final = (_TRANSACTION, FETCH, BEAT, STALE, RECOVER, DUE, MOVE_DUE)


@dataclass(frozen=True, slots=True)
class Hold:
    """A body that must still be in a worker's inflight list for a transaction to happen."""

    inflight: str
    body: bytes
    remove: bool


def script(text: str, keys: Sequence[str], *arguments: object) -> Command:
    """The command that runs a script."""
    return ("EVAL", text, len(keys), *keys, *arguments)


def transaction(
    commands: Iterable[Command],
    *,
    hold: Hold | None = None,
    absent: Sequence[str] = (),
    equals: Sequence[tuple[str, bytes]] = (),
) -> Command:
    """One command that runs all commands, or none of them.

    Replies: ``DONE``; ``NOT_HELD`` when the held body is no longer in the inflight list; ``LOCKED`` when a key of
    ``absent`` exists; ``CHANGED`` when a key of ``equals`` has another value. In each command the second word
    is its key.
    """
    keys: list[str] = []
    argv: list[object] = ["", b"", len(absent), len(equals)]
    if hold is not None:
        keys.append(hold.inflight)
        argv[0] = "remove" if hold.remove else "check"
        argv[1] = hold.body
    keys.extend(absent)
    for key, value in equals:
        keys.append(key)
        argv.append(value)
    for command in commands:
        keys.append(command[1])
        argv.append(len(command))
        argv.extend(command)
    return ("EVAL", _TRANSACTION, len(keys), *keys, *argv)
