"""Lua scripts for what must happen in one step on a Redis server; transactions are in ``redis_transactions.py``.

Every script touches only keys that it is given in ``KEYS``. A script is sent as ``("EVAL", text, ...)``; the port
turns it into EVALSHA. Replies are plain integers and lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gomachinery_py.effects import Command
from gomachinery_py.redis_transactions import TRANSACTIONS

__all__ = [
    "BEAT",
    "BURY",
    "CANCEL",
    "CLAIM_DUE",
    "DUE",
    "FETCH",
    "MOVED",
    "MOVE_DUE",
    "NEXT_DUE",
    "READ",
    "RECOVER",
    "RELEASE",
    "RETIRE",
    "REVOKE",
    "REVOKED",
    "SCRIPTS",
    "STALE",
    "script",
]

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
-- What had been started may be what it died of, and is counted; but a suspect is counted only if it ran alone, and then
-- nothing else is.
-- KEYS: workers, queue, inflight, attempts, dead, reasons, alone
-- ARGV: worker, lease, attempts of a suspect, attempts allowed, reason, how many,
--       (body that had been started, its SHA-1)...
-- Reply: how many went back to the queue, how many became dead letters.
local now = tonumber(redis.call('TIME')[1])
local beat = redis.call('ZSCORE', KEYS[1], ARGV[1])
if beat and tonumber(beat) > now - tonumber(ARGV[2]) then return {0, 0} end
local started, alone = {}, redis.call('HGET', KEYS[7], ARGV[1])
for i = 7, #ARGV, 2 do started[ARGV[i]] = ARGV[i + 1] end
local moved, buried = 0, 0
while moved < tonumber(ARGV[6]) do
  local entry = redis.call('LINDEX', KEYS[3], -1)
  if not entry then break end
  local mark, body = string.match(entry, '^(gmpy:[%x%.]+\\n)(.*)$')
  body = body or entry
  local tries, counts = 0, false
  if started[body] then
    if alone then counts = mark == alone
    else counts = tonumber(redis.call('HGET', KEYS[4], body) or 0) < tonumber(ARGV[3]) end
  end
  if counts then tries = redis.call('HINCRBY', KEYS[4], body, 1) end
  if tries > tonumber(ARGV[4]) then
    redis.call('RPUSH', KEYS[5], body)
    redis.call('HSET', KEYS[6], started[body], ARGV[5])
    redis.call('HDEL', KEYS[4], body)
    buried = buried + 1
  else
    redis.call('LPUSH', KEYS[2], body)
  end
  redis.call('RPOP', KEYS[3])
  moved = moved + 1
end
-- One that other workers than ours finish leaves its count behind.
redis.call('EXPIRE', KEYS[4], 86400)
if alone and redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HDEL', KEYS[7], ARGV[1]) end
if beat and redis.call('EXISTS', KEYS[3]) == 0 then
  if tonumber(beat) >= 0 or moved > 0 then
    redis.call('ZADD', KEYS[1], -now, ARGV[1])
  elseif -tonumber(beat) < now - 3600 then
    redis.call('ZREM', KEYS[1], ARGV[1])
  end
end
return {moved - buried, buried}
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
    *(TRANSACTIONS, READ, FETCH, BEAT, STALE, RECOVER, RETIRE, DUE, MOVE_DUE),
    *(CLAIM_DUE, MOVED, BURY, RELEASE, NEXT_DUE, CANCEL, REVOKE, REVOKED),
)


def script(text: str, keys: Sequence[str], *arguments: object) -> Command:
    """The command that runs a script."""
    return ("EVAL", text, len(keys), *keys, *arguments)
