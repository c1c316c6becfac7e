"""The simulation's Redis answers as fakeredis does: each command, in random sequences, and our scripts as well."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from miniredis import MiniRedis, RedisFault, plain
from redis.exceptions import ResponseError

from gomachinery_py import redis_scripts as lua
from gomachinery_py import redis_transactions as tx

KEYS = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from(["x", "y", "z", "1"])
SCORES = st.integers(-5, 5)
RANGES = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
COUNTS = st.integers(1, 3)


def command(name: str, *parts: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """A command of fixed words and strategies."""
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in (name, *parts)))


RECOVERY = ("me", 0, 2, 1, "why", 500, "x", "sha")
COMMANDS = st.one_of(
    command("GET", KEYS),
    command("SET", KEYS, WORDS),
    command("SET", KEYS, WORDS, "EX", 100),
    command("DEL", KEYS),
    command("EXISTS", KEYS),
    command("TYPE", KEYS),
    command("RPUSH", KEYS, WORDS),
    command("LPUSH", KEYS, WORDS, WORDS),
    command("LPOP", KEYS),
    command("LPOP", KEYS, COUNTS),
    command("RPOP", KEYS),
    command("LLEN", KEYS),
    command("LPOS", KEYS, WORDS),
    command("LREM", KEYS, st.sampled_from([1, -1]), WORDS),
    command("LINDEX", KEYS, st.integers(-3, 3)),
    command("LMOVE", KEYS, KEYS, st.sampled_from(["LEFT", "RIGHT"]), st.sampled_from(["LEFT", "RIGHT"])),
    RANGES.map(lambda ends: ("LRANGE", "a", *ends)),
    command("HSET", KEYS, WORDS, WORDS),
    command("HGET", KEYS, WORDS),
    command("HMGET", KEYS, WORDS, WORDS),
    command("HINCRBY", KEYS, "count", COUNTS),
    command("HDEL", KEYS, WORDS),
    command("HLEN", KEYS),
    command("ZADD", KEYS, SCORES, WORDS),
    command("ZADD", KEYS, "NX", SCORES, WORDS),
    command("ZREM", KEYS, WORDS),
    command("ZCARD", KEYS),
    command("ZRANGE", KEYS, 0, -1),
    command("ZRANGEBYSCORE", KEYS, "-inf", SCORES),
    command("ZRANGEBYSCORE", KEYS, 0, SCORES, "LIMIT", 0, 2),
    command("EVAL", lua.FETCH, 4, "a", "b", "c", "workers", "me", "gmpy:1f.", COUNTS, 5),
    command("EVAL", lua.FETCH, 4, "a", "b", "c", "workers", "me", "gmpy:1f.", COUNTS, 5, WORDS),
    command("EVAL", lua.RETIRE, 3, "workers", "a", "b", "me"),
    command("EVAL", lua.RECOVER, 7, "workers", "a", "b", "c", "dead", "reasons", "alone", *RECOVERY),
    command("EVAL", lua.READ, 2, "a", "b"),
    st.builds(
        lambda held, remove, commands, absent, value: tx.joined(
            [
                tx.transaction(
                    commands,
                    hold=tx.Hold("a", held.encode(), remove),
                    absent=absent,
                    equals=[] if value is None else [("c", value.encode())],
                ),
                tx.transaction([("SET", "s", "1")]),
            ]
        ),
        WORDS,
        st.booleans(),
        st.lists(st.one_of(command("SET", KEYS, WORDS), command("RPUSH", KEYS, WORDS)), max_size=2),
        st.lists(st.just("b"), max_size=1),
        st.none() | WORDS,
    ),
)


def _mini(redis: MiniRedis, words: tuple[Any, ...]) -> Any:
    try:
        return _shown(plain(redis.execute(*words)))
    except RedisFault:
        return "error"


def _fake(redis: Any, words: tuple[Any, ...]) -> Any:
    try:
        return _shown(_raw(redis, words))
    except ResponseError:
        return "error"


def _raw(redis: Any, words: tuple[Any, ...]) -> Any:
    """The reply as it is on the wire: redis-py makes other things of some."""
    connection = redis.connection_pool.get_connection()
    try:
        connection.send_command(*words)
        return connection.read_response()
    finally:
        redis.connection_pool.release(connection)


def _shown(reply: Any) -> Any:
    """Numbers and their texts are the same here, and so are all errors."""
    if isinstance(reply, list):
        return [_shown(part) for part in reply]
    if isinstance(reply, Exception):
        return "error"
    return str(reply).encode() if isinstance(reply, (int, float)) else reply


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, min_size=1, max_size=25))
def test_it_answers_as_fakeredis(commands: list[tuple[Any, ...]]) -> None:
    """Reply by reply; only the clock of scripts that look at it differs, and none of them tells."""
    mini = MiniRedis(lambda: 1_700_000_000_000_000_000)
    fake = fakeredis.FakeStrictRedis(server=fakeredis.FakeServer(version=(7,)), protocol=2)
    for words in commands:
        assert _fake(fake, words) == _mini(mini, words), words


def test_keys_expire_by_its_own_clock() -> None:
    """A key with a time to live is gone when the clock says so."""
    now = [0]
    redis = MiniRedis(lambda: now[0])
    redis.execute("SET", "key", "value", "PX", 10)
    now[0] = 9_999_999
    assert redis.execute("GET", "key") == b"value"
    now[0] = 10_000_000
    assert redis.execute("GET", "key") is None


def test_an_unknown_command_is_refused() -> None:
    """So that the simulation cannot rely on something that is not there."""
    redis = MiniRedis(lambda: 0)
    with pytest.raises(RedisFault, match="ERR unknown command FLUSHALL"):
        redis.execute("FLUSHALL")
