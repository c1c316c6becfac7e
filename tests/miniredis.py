"""A Redis of two hundred lines with a clock of its own: every command that this project sends to a worker's Redis.

The simulation sends millions of commands and lets virtual hours pass, which neither a real server nor fakeredis can
do. Scripts run in real Lua 5.1; ``test_miniredis.py`` compares all of it with fakeredis.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

import lupa.lua51 as lupa

__all__ = ["MiniRedis", "RedisFault", "plain", "replies"]

_TYPES = {bytes: "string", list: "list", dict: "hash"}


class RedisFault(Exception):
    """An error reply."""


class SortedSet(dict[bytes, float]):
    """Members and their scores."""

    def ordered(self) -> list[tuple[float, bytes]]:
        ordered: list[tuple[float, bytes]] = []
        for member, score in self.items():
            insort(ordered, (score, member))
        return ordered


class MiniRedis:
    """Commands in, replies out; ``unix_ns`` is the server's clock. Writes are told to ``on_write`` word by word."""

    def __init__(self, unix_ns: Callable[[], int]) -> None:
        self.keys: dict[bytes, Any] = {}
        self.on_write: Callable[[list[bytes]], None] = lambda _words: None
        self._unix_ns = unix_ns
        self._expires: dict[bytes, int] = {}
        self._lua = lupa.LuaRuntime(encoding=None, register_eval=False)
        self._table = self._lua.table_from
        self._scripts: dict[bytes, Any] = {}
        self._status = self._lua.eval(b"function(text) return {ok = text} end")
        self._error = self._lua.eval(b"function(text) return {err = text} end")
        self._empty = self._lua.eval(b"function() return {} end")

    def execute(self, *words: object) -> Any:
        """One command; an error reply is raised as :class:`RedisFault`."""
        return self._run([word if isinstance(word, bytes) else str(word).encode() for word in words])

    def _run(self, words: list[bytes]) -> Any:
        name = words[0].decode().upper()
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is None or not name.isalpha():
            raise RedisFault(f"ERR unknown command {name}")
        reply = handler(*words[1:])
        if name in _WRITES:
            self.on_write(words)
        return reply

    # -- keys --

    def _find(self, key: bytes, kind: type) -> Any:
        """The value of a key, None when there is none."""
        deadline = self._expires.get(key)
        if deadline is not None and deadline <= self._unix_ns():
            del self._expires[key], self.keys[key]
        value = self.keys.get(key)
        if value is not None and type(value) is not kind:
            raise RedisFault("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _make(self, key: bytes, kind: type) -> Any:
        value = self._find(key, kind)
        return self.keys.setdefault(key, kind()) if value is None else value

    def _drop_if_empty(self, key: bytes) -> None:
        if not self.keys[key]:
            del self.keys[key]
            self._expires.pop(key, None)

    def _ping(self) -> bytes:
        return b"PONG"

    def _time(self) -> list[bytes]:
        seconds, rest = divmod(self._unix_ns(), 1_000_000_000)
        return [str(seconds).encode(), str(rest // 1000).encode()]

    def _exists(self, *keys: bytes) -> int:
        return sum(1 for key in keys if self._type(key).ok != b"none")

    def _type(self, key: bytes) -> Status:
        try:
            self._find(key, bytes)
        except RedisFault:
            pass
        value = self.keys.get(key)
        if value is None:
            return Status(b"none")
        return Status(b"zset" if type(value) is SortedSet else _TYPES[type(value)].encode())

    def _del(self, *keys: bytes) -> int:
        for key in keys:
            self._expires.pop(key, None)
        return sum(1 for key in keys if self.keys.pop(key, None) is not None)

    def _expire(self, key: bytes, seconds: bytes) -> int:
        if key not in self.keys:
            return 0
        self._expires[key] = self._unix_ns() + int(seconds) * 1_000_000_000
        return 1

    # -- strings --

    def _get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._find(key, bytes)
        return found

    def _set(self, key: bytes, value: bytes, *options: bytes) -> Status:
        self.keys[key] = value
        self._expires.pop(key, None)
        if options:
            unit = {b"EX": 1_000_000_000, b"PX": 1_000_000}[options[0].upper()]
            self._expires[key] = self._unix_ns() + int(options[1]) * unit
        return Status(b"OK")

    # -- lists --

    def _llen(self, key: bytes) -> int:
        return len(self._find(key, list) or ())

    def _lrange(self, key: bytes, start: bytes, stop: bytes) -> list[bytes]:
        values = self._find(key, list) or []
        first, last = int(start), int(stop)
        first = max(0, len(values) + first) if first < 0 else first
        last = len(values) + last if last < 0 else last
        return list(values[first : last + 1])

    def _rpush(self, key: bytes, *values: bytes) -> int:
        target = self._make(key, list)
        target.extend(values)
        return len(target)

    def _lpush(self, key: bytes, *values: bytes) -> int:
        target = self._make(key, list)
        target[:0] = reversed(values)
        return len(target)

    def _lpop(self, key: bytes, count: bytes | None = None) -> Any:
        values = self._find(key, list)
        if values is None:
            return None
        taken = [values.pop(0) for _ in range(min(len(values), int(count or 1)))]
        self._drop_if_empty(key)
        return taken if count is not None else taken[0]

    def _rpop(self, key: bytes) -> bytes | None:
        values = self._find(key, list)
        if values is None:
            return None
        value: bytes = values.pop()
        self._drop_if_empty(key)
        return value

    def _lrem(self, key: bytes, count: bytes, value: bytes) -> int:
        values = self._find(key, list)
        if count not in (b"1", b"-1"):
            raise RedisFault("ERR only LREM of one value is known here")
        if values is None or value not in values:
            return 0
        if count == b"1":
            values.remove(value)
        else:
            del values[len(values) - 1 - values[::-1].index(value)]
        self._drop_if_empty(key)
        return 1

    def _lindex(self, key: bytes, index: bytes) -> bytes | None:
        values = self._find(key, list) or []
        at = int(index)
        return values[at] if -len(values) <= at < len(values) else None

    def _lpos(self, key: bytes, value: bytes) -> int | None:
        values = self._find(key, list) or []
        return values.index(value) if value in values else None

    def _lmove(self, source: bytes, destination: bytes, where_from: bytes, where_to: bytes) -> bytes | None:
        if not self._llen(source):
            return None
        self._find(destination, list)
        value: bytes | None = self._lpop(source) if where_from == b"LEFT" else self._rpop(source)
        if value is not None:
            (self._lpush if where_to == b"LEFT" else self._rpush)(destination, value)
        return value

    def _blmove(self, source: bytes, destination: bytes, where_from: bytes, where_to: bytes, _wait: bytes) -> Any:
        """Never blocks: there is nobody who could push meanwhile."""
        return self._lmove(source, destination, where_from, where_to)

    def _blpop(self, key: bytes, _wait: bytes) -> Any:
        """Never blocks either."""
        value = self._lpop(key)
        return None if value is None else [key, value]

    # -- hashes --

    def _hget(self, key: bytes, field: bytes) -> bytes | None:
        value: bytes | None = (self._find(key, dict) or {}).get(field)
        return value

    def _hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        return [self._hget(key, field) for field in fields]

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        target = self._make(key, dict)
        before = len(target)
        target.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(target) - before

    def _hincrby(self, key: bytes, field: bytes, by: bytes) -> int:
        target = self._make(key, dict)
        value = int(target.get(field, b"0")) + int(by)
        target[field] = str(value).encode()
        return value

    def _hdel(self, key: bytes, *fields: bytes) -> int:
        target = self._find(key, dict)
        if target is None:
            return 0
        removed = sum(1 for field in fields if target.pop(field, None) is not None)
        self._drop_if_empty(key)
        return removed

    def _hlen(self, key: bytes) -> int:
        return len(self._find(key, dict) or ())

    # -- sorted sets --

    def _zadd(self, key: bytes, *pairs: bytes) -> int:
        options = [word for word in pairs if word == b"NX"]
        pairs = pairs[len(options) :]
        target = self._make(key, SortedSet)
        before = len(target)
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            if not (options and member in target):
                target[member] = float(score)
        return len(target) - before

    def _zrem(self, key: bytes, *members: bytes) -> int:
        target = self._find(key, SortedSet)
        if target is None:
            return 0
        removed = sum(1 for member in members if target.pop(member, None) is not None)
        self._drop_if_empty(key)
        return removed

    def _zcard(self, key: bytes) -> int:
        return len(self._find(key, SortedSet) or ())

    def _zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = (self._find(key, SortedSet) or {}).get(member)
        return None if score is None else f"{score:.17g}".encode()

    def _zrange(self, key: bytes, start: bytes, stop: bytes) -> list[bytes]:
        members = [member for _, member in (self._find(key, SortedSet) or SortedSet()).ordered()]
        return members[int(start) :] if stop == b"-1" else members[int(start) : int(stop) + 1]

    def _zrangebyscore(self, key: bytes, low: bytes, high: bytes, *options: bytes) -> list[bytes]:
        ordered = (self._find(key, SortedSet) or SortedSet()).ordered()
        found = [(score, member) for score, member in ordered if float(low) <= score <= float(high)]
        if options == (b"WITHSCORES",):
            return [word for score, member in found for word in (member, f"{score:.17g}".encode())]
        if options:
            found = found[int(options[1]) :][: int(options[2])]
        return [member for _, member in found]

    # -- scripts --

    def _eval(self, text: bytes, count: bytes, *words: bytes) -> Any:
        function = self._scripts.get(text)
        if function is None:
            function = self._lua.execute(b"return function(KEYS, ARGV, redis) " + text + b"\nend")
            self._scripts[text] = function
        redis = self._table({b"call": self._call, b"pcall": self._pcall})
        keys = int(count)
        try:
            return self._from_lua(function(self._table(words[:keys]), self._table(words[keys:]), redis))
        except lupa.LuaError as error:
            raise RedisFault(str(error)) from error

    def _call(self, *words: Any) -> Any:
        return self._to_lua(self._run([self._word(word) for word in words]))

    def _pcall(self, *words: Any) -> Any:
        try:
            return self._call(*words)
        except RedisFault as error:
            return self._error(str(error).encode())

    @staticmethod
    def _word(word: Any) -> bytes:
        return word if isinstance(word, bytes) else (b"%.17g" % word)

    def _to_lua(self, reply: Any) -> Any:
        if reply is None:
            return False
        if isinstance(reply, Status):
            return self._status(reply.ok)
        if isinstance(reply, list):
            return self._table([self._to_lua(part) for part in reply]) if reply else self._empty()
        return reply

    def _from_lua(self, value: Any) -> Any:
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, float):
            return int(value)
        if isinstance(value, (bytes, int)):
            return value
        if value[b"err"] is not None:
            raise RedisFault(value[b"err"].decode())
        if value[b"ok"] is not None:
            return Status(value[b"ok"])
        replies: list[Any] = []
        while (part := value[len(replies) + 1]) is not None:
            try:
                replies.append(self._from_lua(part))
            except RedisFault as error:
                replies.append(error)
        return replies


class Status:
    """A status reply, which Lua sees as ``{ok = text}``."""

    __slots__ = ("ok",)

    def __init__(self, ok: bytes) -> None:
        self.ok = ok


_WRITES = {"SET", "HINCRBY", "HDEL", "RPUSH", "LPUSH", "ZADD", "LMOVE", "BLMOVE", "LREM", "LPOP", "RPOP", "DEL"}


def plain(reply: Any) -> Any:
    """A reply as a client sees it."""
    if isinstance(reply, Status):
        return reply.ok
    return [plain(part) for part in reply] if isinstance(reply, list) else reply


def replies(redis: MiniRedis, commands: Sequence[Sequence[object]]) -> list[Any]:
    """A pipeline; error replies in their places."""
    answers: list[Any] = []
    for command in commands:
        try:
            answers.append(plain(redis.execute(*command)))
        except RedisFault as error:
            answers.append(error)
    return answers
