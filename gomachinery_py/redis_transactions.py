"""Transactions on Redis that happen only while a worker holds the message: one script for as many as come together.

A transaction is ``("TRANSACT", keys, words)``; the port runs all that it has at a time as one script (:func:`joined`),
and each is still all or nothing by itself. Its reply is one of the numbers below.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gomachinery_py.effects import Command

__all__ = [
    "CHANGED",
    "DONE",
    "FOREIGN",
    "LOCKED",
    "NOT_HELD",
    "TRANSACTIONS",
    "UNPLAIN",
    "Hold",
    "beginning",
    "ending",
    "joined",
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

TRANSACTIONS: Final = """\
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
    return ("EVAL", TRANSACTIONS, len(keys), *keys, *words)
