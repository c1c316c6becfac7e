"""The Lua that makes several Redis steps one, and the commands that call it.

Every script touches only keys that it is given in ``KEYS``. A script is sent as ``("EVAL", text, ...)``; the port
turns it into EVALSHA. Replies are plain integers and lists. Transactions are ``("TRANSACT", keys, words)``, and the
port runs all that it has at a time as one script: each is still all or nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gomachinery_py.effects import Command

__all__ = [
    "BEAT",
    "BURY",
    "CANCEL",
    "CHANGED",
    "CLAIM_DUE",
    "DONE",
    "DUE",
    "FETCH",
    "FOREIGN",
    "LOCKED",
    "MOVED",
    "MOVE_DUE",
    "NEXT_DUE",
    "NOT_HELD",
    "READ",
    "RECOVER",
    "RELEASE",
    "RETIRE",
    "REVOKE",
    "REVOKED",
    "SCRIPTS",
    "STALE",
    "UNPLAIN",
    "Hold",
    "beginning",
    "ending",
    "joined",
    "script",
    "transaction",
    "unmarked",
]

_MARK: Final = re.compile(rb"gmpy:[0-9a-f.]+\n")

DONE: Final = 1
NOT_HELD: Final = -1
LOCKED: Final = -2
CHANGED: Final = -3
FOREIGN: Final = -4
UNPLAIN: Final = -5

_TRANSACTIONS: Final = """\
-- Several transactions, each: conditions first, then commands; nothing of it happens unless every condition holds.
-- ARGV: transactions, then for each: its keys, its words, and its words:
--       hold ('', 'check' or 'remove'), entry, absent, equals, (value) x equals, then (count, name, word...) per
--       command, without its key
-- KEYS of each: (inflight list when held), (key) x absent, (key) x equals, the keys of the commands
--       By far the most only store states of one task, and are said in fewer words:
--       hold ('states', 'check states' or 'remove states'), entry, seconds to live, state...
-- KEYS of each: (inflight list when held), UUID
--       Where the stored state is plain, the first two states are made of it, and the reply is what follows its name:
--       hold ('begin' or 'check begin'), entry, seconds to live, what precedes the state's name
-- KEYS of each: (inflight list when held), UUID
local kinds = {SET = 'string', RPUSH = 'list', LPUSH = 'list', ZADD = 'zset', HSET = 'hash'}
local function transact(key, at, stop)
  local hold, entry, inflight = ARGV[at], ARGV[at + 1], KEYS[key]
  local absent, equals = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 4
  if hold ~= '' then
    key = key + 1
    -- Where nothing else is a condition, removing it tells as well whether it was there.
    if hold == 'check' or absent + equals > 0 then
      local found = redis.pcall('LPOS', inflight, entry)
      if type(found) == 'table' then return found end
      if not found then return -1 end
    end
  end
  for i = 1, absent do
    if redis.call('EXISTS', KEYS[key]) == 1 then return -2 end
    key = key + 1
  end
  for i = 1, equals do
    if redis.pcall('GET', KEYS[key]) ~= ARGV[at] then return -3 end
    key = key + 1
    at = at + 1
  end
  -- SET writes over whatever is there, and what fails half-way is not undone: so every key is looked at first.
  local look, last, looked = at, '', key
  while look < stop do
    local kind, name = kinds[ARGV[look + 1]], KEYS[looked]
    if kind and name ~= last then
      local found = redis.call('TYPE', name)
      found = found['ok'] or found
      if found ~= 'none' and found ~= kind then
        if hold == 'remove' and not redis.call('LPOS', inflight, entry) then return -1 end
        return -4
      end
      last = name
    end
    look = look + tonumber(ARGV[look]) + 1
    looked = looked + 1
  end
  if hold == 'remove' then
    local removed = redis.pcall('LREM', inflight, 1, entry)
    if type(removed) == 'table' then return removed end
    if removed == 0 then return -1 end
  end
  while at < stop do
    local words = tonumber(ARGV[at])
    local reply = redis.pcall(ARGV[at + 1], KEYS[key], unpack(ARGV, at + 2, at + words))
    key = key + 1
    if type(reply) == 'table' and reply['err'] then
      -- What was written stays written; the message stays held, so that nothing is lost.
      if hold == 'remove' then redis.call('RPUSH', inflight, entry) end
      return reply
    end
    at = at + words + 1
  end
  return 1
end
local function store(hold, key, at, stop)
  local entry, seconds, inflight, name = ARGV[at + 1], ARGV[at + 2], KEYS[key], KEYS[key]
  if hold ~= 'states' then
    name = KEYS[key + 1]
    if hold == 'check states' then
      local found = redis.pcall('LPOS', inflight, entry)
      if type(found) == 'table' then return found end
      if not found then return -1 end
    end
  end
  local kind = redis.call('TYPE', name)
  kind = kind['ok'] or kind
  if kind ~= 'none' and kind ~= 'string' then
    if hold == 'remove states' and not redis.call('LPOS', inflight, entry) then return -1 end
    return -4
  end
  if hold == 'remove states' then
    local removed = redis.pcall('LREM', inflight, 1, entry)
    if type(removed) == 'table' then return removed end
    if removed == 0 then return -1 end
  end
  for i = at + 3, stop - 1 do
    local reply = redis.pcall('SET', name, ARGV[i], 'EX', seconds)
    if reply['err'] then
      if hold == 'remove states' then redis.call('RPUSH', inflight, entry) end
      return reply
    end
  end
  return 1
end
-- What is plain is the same as in wire/states.py.
local known_day
local function is_day(day)
  if day == known_day then return true end
  local days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
  local century, last = tonumber(string.sub(day, 1, 2)), days[tonumber(string.sub(day, 6, 7))]
  local number = tonumber(string.sub(day, 9))
  if century < 19 or century > 21 or not last or number < 1 or number > last then return false end
  known_day = day
  return true
end
local plain = '^%u*(","Results":null,"Error":"","CreatedAt":"([12]%d%d%d%-[01]%d%-[0-3]%d)' ..
  'T([0-2]%d):[0-5]%d:[0-5]%d(%.?%d*)Z","TTL":0})$'
local function begin(hold, key, at)
  local name, seconds, head = KEYS[key], ARGV[at + 2], ARGV[at + 3]
  if hold == 'check begin' then
    name = KEYS[key + 1]
    local found = redis.pcall('LPOS', KEYS[key], ARGV[at + 1])
    if type(found) == 'table' then return found end
    if not found then return -1 end
  end
  local stored = redis.pcall('GET', name)
  if type(stored) ~= 'string' or string.sub(stored, 1, #head) ~= head then return -5 end
  local tail, day, hour, fraction = string.match(stored, plain, #head + 1)
  if not tail or hour > '23' or not is_day(day) then return -5 end
  if fraction ~= '' then
    local first, last = string.byte(fraction), string.byte(fraction, -1)
    if first ~= 46 or last == 46 or last == 48 or #fraction > 10 then return -5 end
  end
  local reply = redis.pcall('SET', name, head .. 'RECEIVED' .. tail, 'EX', seconds)
  if reply['err'] then return reply end
  reply = redis.pcall('SET', name, head .. 'STARTED' .. tail, 'EX', seconds)
  if reply['err'] then return reply end
  return tail
end
local quick = {
  ['states'] = store, ['check states'] = store, ['remove states'] = store, ['begin'] = begin, ['check begin'] = begin
}
local replies, key, at = {}, 1, 2
for n = 1, tonumber(ARGV[1]) do
  local keys, words = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local hold, first = ARGV[at + 2], at + 2
  if quick[hold] then replies[n] = quick[hold](hold, key, first, first + words)
  else replies[n] = transact(key, first, first + words) end
  key = key + keys
  at = at + 2 + words
end
return replies
"""

READ: Final = """\
-- Several reads that may each find the wrong type of key.
local replies = {}
for i, key in ipairs(KEYS) do replies[i] = redis.pcall('GET', key) end
return replies
"""

FETCH: Final = """\
-- Each body is held under a mark of its own: a worker that meets a message again, which others gave back meanwhile,
-- must not take what it writes now for what it was allowed to write then.
-- KEYS: queue, inflight, attempts, workers   ARGV: worker, mark, how many, how many bytes, (body already taken)
-- Reply: what is held now, each under its mark, and how often each was tried before (nothing: none was).
-- Also a sign of life: who was forgotten while it slept is known again before it holds anything.
redis.call('ZADD', KEYS[4], redis.call('TIME')[1], ARGV[1])
redis.call('LLEN', KEYS[2])
local taken, held, bytes = {}, {}, 0
local function hold(body)
  taken[#taken + 1] = body
  held[#taken] = ARGV[2] .. #taken .. '\\n' .. body
  bytes = bytes + #body
  redis.call('RPUSH', KEYS[2], held[#taken])
end
if ARGV[5] and redis.call('LREM', KEYS[2], -1, ARGV[5]) == 1 then hold(ARGV[5]) end
while #taken < tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) do
  local body = redis.call('LPOP', KEYS[1])
  if not body then break end
  hold(body)
end
local tries = {}
if #taken > 0 and redis.call('EXISTS', KEYS[3]) == 1 then
  for i, body in ipairs(taken) do
    tries[i] = tonumber(redis.call('HGET', KEYS[3], body) or 0)
  end
end
return {held, tries}
"""

BEAT: Final = """\
-- KEYS: workers   ARGV: worker
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1], ARGV[1])
return tonumber(now[1])
"""

STALE: Final = """\
-- KEYS: workers   ARGV: lease in seconds
local now = tonumber(redis.call('TIME')[1])
return {now, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]), 'WITHSCORES')}
"""

RECOVER: Final = """\
-- Gives a dead worker's tasks back to the head of the queue, in their order. Its name is kept for an hour, with the
-- time of recovery as a negative score: it may only have slept, and be about to take a task.
-- KEYS: workers, queue, inflight, attempts, dead, reasons
-- ARGV: worker, lease, attempts allowed, reason, how many, (body that had been started, its SHA-1)...
local now = tonumber(redis.call('TIME')[1])
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
if beat and tonumber(beat) > now - tonumber(ARGV[2]) then return -1 end
local started = {}
for i = 6, #ARGV, 2 do started[ARGV[i]] = ARGV[i + 1] end
local moved = 0
while moved < tonumber(ARGV[5]) do
  local body = redis.call('LINDEX', KEYS[3], -1)
  if not body then break end
  body = string.match(body, '^gmpy:[%x%.]+\\n(.*)$') or body
  local tries = 0
  if started[body] then tries = redis.call('HINCRBY', KEYS[4], body, 1) end
  if tries > tonumber(ARGV[3]) then
    redis.call('RPUSH', KEYS[5], body)
    redis.call('HSET', KEYS[6], started[body], ARGV[4])
    redis.call('HDEL', KEYS[4], body)
  else
    redis.call('LPUSH', KEYS[2], body)
  end
  redis.call('RPOP', KEYS[3])
  moved = moved + 1
end
-- One that other workers than ours finish leaves its count behind.
redis.call('EXPIRE', KEYS[4], 86400)
if beat and redis.call('EXISTS', KEYS[3]) == 0 then
  if tonumber(beat) >= 0 or moved > 0 then
    redis.call('ZADD', KEYS[1], -now, ARGV[1])
  elseif -tonumber(beat) < now - 3600 then
    redis.call('ZREM', KEYS[1], ARGV[1])
  end
end
return moved
"""

RETIRE: Final = """\
-- A worker signs off. What was moved to its list and never reached it goes back to the head of the queue.
-- KEYS: workers, queue, inflight   ARGV: worker
local moved = 0
while moved < 1000 do
  local body = redis.call('LINDEX', KEYS[3], -1)
  if not body then break end
  redis.call('LPUSH', KEYS[2], string.match(body, '^gmpy:[%x%.]+\\n(.*)$') or body)
  redis.call('RPOP', KEYS[3])
  moved = moved + 1
end
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
return moved
"""

DUE: Final = """\
-- KEYS: delayed   ARGV: how many, how many bytes.   Due by the server's own clock, the oldest first.
local now = redis.call('TIME')
local ns = string.format('%d%06d000', tonumber(now[1]), tonumber(now[2]))
local due, bytes, page = {}, 0, 8
while #due < tonumber(ARGV[1]) and bytes < tonumber(ARGV[2]) do
  local members = redis.call('ZRANGEBYSCORE', KEYS[1], 0, ns, 'LIMIT', #due, page)
  for i, member in ipairs(members) do
    due[#due + 1] = member
    bytes = bytes + #member
  end
  if #members < page then break end
end
return due
"""

MOVE_DUE: Final = """\
-- KEYS: delayed, dead, reasons, (destination) x n   ARGV: reason, (member, body, SHA-1 of member) x n.
-- One that another mover took is left alone; one whose destination is no list goes to the dead.
local moved, is_list = 0, {}
for i = 4, #KEYS do
  local at, key = (i - 4) * 3 + 1, KEYS[i]
  if is_list[key] == nil then
    local found = redis.call('TYPE', key)
    found = found['ok'] or found
    is_list[key] = found == 'list' or found == 'none'
  end
  if redis.call('ZREM', KEYS[1], ARGV[at + 1]) == 1 then
    if is_list[key] then
      redis.call('RPUSH', key, ARGV[at + 2])
    else
      redis.call('RPUSH', KEYS[2], ARGV[at + 1])
      redis.call('HSET', KEYS[3], ARGV[at + 3], ARGV[1])
    end
    moved = moved + 1
  end
end
return moved
"""

CLAIM_DUE: Final = """\
-- For a cluster. What is due, and what another mover claimed and never pushed, is claimed until now + ARGV[3] us.
-- KEYS: delayed, moving   ARGV: how many, how many bytes, us.   Reply: the claim, then the members.
local now = redis.call('TIME')
local us = string.format('%d%06d', tonumber(now[1]), tonumber(now[2]))
local claim = string.format('%.0f', tonumber(us) + tonumber(ARGV[3]))
local due, bytes = {claim}, 0
local function take(key, limit)
  while #due <= tonumber(ARGV[1]) and bytes < tonumber(ARGV[2]) do
    local members = redis.call('ZRANGEBYSCORE', key, 0, limit, 'LIMIT', 0, 8)
    for i, member in ipairs(members) do
      due[#due + 1] = member
      bytes = bytes + #member
      redis.call('ZADD', KEYS[2], claim, member)
      if key == KEYS[1] then redis.call('ZREM', key, member) end
    end
    if #members < 8 then break end
  end
end
take(KEYS[2], us)
take(KEYS[1], us .. '000')
if #due == 1 then return {} end
return due
"""

MOVED: Final = """\
-- Forgets what was pushed, unless somebody else has claimed it since.
-- KEYS: moving   ARGV: claim, member...
local moved = 0
for i = 2, #ARGV do
  local claim = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if claim and tonumber(claim) == tonumber(ARGV[1]) then moved = moved + redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return moved
"""

BURY: Final = """\
-- KEYS: dead, reasons   ARGV: body, reason
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], redis.sha1hex(ARGV[1]), ARGV[2])
return 1
"""

RELEASE: Final = """\
-- KEYS: lock   ARGV: the value that it was taken with   (Go: redsync's deleteScript)
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

NEXT_DUE: Final = """\
-- When the next delayed task is due, without the task itself, which may be large.   KEYS: delayed
return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
"""

CANCEL: Final = """\
-- A delayed task is taken back, and its state written, or neither.
-- KEYS: delayed, (UUID)   ARGV: member, (name and words of the command that writes its state, without the key)
if KEYS[2] then
  local found = redis.call('TYPE', KEYS[2])
  found = found['ok'] or found
  if found ~= 'none' and found ~= 'string' then return -4 end
end
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return -1 end
if KEYS[2] then redis.call(ARGV[2], KEYS[2], unpack(ARGV, 3)) end
return 1
"""

REVOKE: Final = """\
-- KEYS: revoked, changed   ARGV: seconds, how many at most, UUID...
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now[1])
local added, ends = 0, tonumber(now[1]) + tonumber(ARGV[1])
for i = 3, #ARGV do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then added = added + 1 end
end
if redis.call('ZCARD', KEYS[1]) + added > tonumber(ARGV[2]) then return -1 end
for i = 3, #ARGV do
  local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not known or tonumber(known) < ends then redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
redis.call('SET', KEYS[2], string.format('%d%06d', tonumber(now[1]), tonumber(now[2])))
for i = 1, 2 do redis.call('EXPIREAT', KEYS[i], tonumber(last) + 1) end
return added
"""

REVOKED: Final = """\
-- What is revoked, unless that is known.   KEYS: revoked, changed   ARGV: when it had last changed
local now = redis.call('TIME')
if redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now[1]) > 0 then
  redis.call('SET', KEYS[2], string.format('%d%06d', tonumber(now[1]), tonumber(now[2])), 'XX', 'KEEPTTL')
end
local changed = redis.call('GET', KEYS[2]) or ''
if changed == ARGV[1] then return {changed} end
return {changed, redis.call('ZRANGE', KEYS[1], 0, -1)}
"""

SCRIPTS: Final = (
    *(_TRANSACTIONS, READ, FETCH, BEAT, STALE, RECOVER, RETIRE, DUE, MOVE_DUE),
    *(CLAIM_DUE, MOVED, BURY, RELEASE, NEXT_DUE, CANCEL, REVOKE, REVOKED),
)


@dataclass(slots=True)
class Hold:
    """An entry that must still be in a worker's inflight list for a transaction to happen."""

    inflight: str
    entry: bytes
    remove: bool


def unmarked(entry: bytes) -> bytes:
    """The body of an entry in an inflight list; one that a blocking fetch has just moved there has no mark yet."""
    match = _MARK.match(entry)
    return entry[match.end() :] if match else entry


def script(text: str, keys: Sequence[str], *arguments: object) -> Command:
    """The command that runs a script."""
    return ("EVAL", text, len(keys), *keys, *arguments)


def transaction(
    commands: Sequence[Command],
    *,
    hold: Hold | None = None,
    absent: Sequence[str] = (),
    equals: Sequence[tuple[str, bytes]] = (),
) -> Command:
    """One command that runs all commands, or none of them.

    Replies: ``DONE``; ``NOT_HELD`` when the held body is no longer in the inflight list; ``LOCKED`` when a key of
    ``absent`` exists; ``CHANGED`` when a key of ``equals`` has another value; ``FOREIGN`` when a key to be written
    holds another type. In each command the second word is its key. The port sends it by :func:`joined`.
    """
    if not absent and not equals and (states := _states(commands)) is not None:
        name, words = states
        if hold is None:
            return ("TRANSACT", [name], ["states", b"", *words])
        kind = "remove states" if hold.remove else "check states"
        return ("TRANSACT", [hold.inflight, name], [kind, hold.entry, *words])
    keys: list[str] = []
    if hold is None:
        words = ["", b"", len(absent), len(equals)]
    else:
        keys.append(hold.inflight)
        words = ["remove" if hold.remove else "check", hold.entry, len(absent), len(equals)]
    keys += absent
    for key, value in equals:
        keys.append(key)
        words.append(value)
    for command in commands:
        name, key, *rest = command
        keys.append(key)
        words += (len(rest) + 1, name, *rest)
    return ("TRANSACT", keys, words)


def beginning(uuid: str, seconds: int, head: bytes, hold: Hold | None) -> Command:
    """A transaction that stores RECEIVED and STARTED, which carry on what is stored; see ``wire.states.StateText``.

    ``head`` is what is before the state's name. Replies: what is after it when that was done; ``NOT_HELD`` as of
    :func:`transaction`; ``UNPLAIN``, with nothing done, when what is stored begins otherwise or is no plain state.
    """
    if hold is None:
        return ("TRANSACT", (uuid,), ("begin", b"", seconds, head))
    return ("TRANSACT", (hold.inflight, uuid), ("check begin", hold.entry, seconds, head))


def ending(uuid: str, seconds: int, document: bytes, hold: Hold | None) -> Command:
    """The same as :func:`transaction` of one state with a hold that removes the entry, in fewer steps."""
    if hold is None:
        return ("TRANSACT", (uuid,), ("states", b"", seconds, document))
    return ("TRANSACT", (hold.inflight, uuid), ("remove states", hold.entry, seconds, document))


def _states(commands: Sequence[Command]) -> tuple[str, list[object]] | None:
    """Key, seconds to live and documents of commands that only store states of one task; None for others."""
    if not commands:
        return None
    first = commands[0]
    if len(first) != 5 or first[0] != "SET" or first[3] != "EX":
        return None
    name, seconds = first[1], first[4]
    words: list[object] = [seconds, first[2]]
    for command in commands[1:]:
        if len(command) != 5 or command[0] != "SET" or command[1] != name or command[3:] != first[3:]:
            return None
        words.append(command[2])
    return name, words


def joined(transactions: Sequence[Command]) -> Command:
    """Many transactions as one command; its reply is the list of theirs."""
    keys: list[str] = []
    words: list[object] = [len(transactions)]
    for _, its_keys, its_words in transactions:
        keys += its_keys
        words += (len(its_keys), len(its_words))
        words += its_words
    return ("EVAL", _TRANSACTIONS, len(keys), *keys, *words)
