"""Random types and values of arguments: those that Machinery knows, those that it does not, and those at the edges."""

from __future__ import annotations

import json
import random
import struct

from gomachinery_py.wire.reflect import TYPE_NAMES

__all__ = ["TYPES", "value"]

TYPES = [*sorted(TYPE_NAMES), "", "[]", "int128", "[][]int", "interface {}", "Int64", "map[string]int"]
NUMBERS = [
    *("0", "1", "-1", "-0", "5", "15", "44", "127", "128", "-128", "-129", "255", "256", "300", "32767", "32768"),
    *("65535", "65536", "2147483647", "2147483648", "-2147483649", "4294967295", "4294967296"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("18446744073709551616.5", "-99999999999999999999e3"),
    *("18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "1.0", "1.5", "1.50"),
    *("1E5", "1e5", "1e+21", "1e21", "1e-7", "1e-6", "0.1", "3.4028235e38", "3.4028236e38", "3.5e38", "-3.5e38"),
    *("1e400", "-1e400", "1e-400", "1.7976931348623157e308", "5e-324", "16777217", "0.10000000149011612"),
]
TEXTS = [
    *(
        "",
        "5",
        "x",
        "héllo",
        "true",
        "null",
        "<&>",
        "日本",
        "a b",
        "\x00",
        "YQ==",
        "YWI=",
        "YWJj",
        "YWJjZA==",
        "YQ",
        "YQ=",
    ),
    *(
        "YQ==\n",
        "Y\r\nQ==",
        "YQ=\n=",
        "YQ=x",
        "YQ==YQ==",
        "====",
        "=",
        "Y===",
        "YW_j",
        "YWJ=",
        "YWJ=Y",
        "YWJjY",
        "é",
        "YR==",
    ),
    *("AAAAAAAAAAAAAAAA", "AAAAAAAAAAAA=AAA", "AAAAAAAA\nAAAA", "\n", "\r\nYWJj\r\n", "YWJjYWJjYWJj!", "YWJjYQ=\r"),
]


def number(random_: random.Random) -> str:
    if random_.random() < 0.7:
        return random_.choice(NUMBERS)
    if random_.random() < 0.5:
        return str(random_.randrange(-(1 << random_.randrange(1, 70)), 1 << random_.randrange(1, 70)))
    while True:
        (value,) = struct.unpack("<d", random_.randbytes(8))
        if value == value and abs(value) != float("inf"):
            return repr(value)


def value(random_: random.Random, depth: int = 0) -> str:
    """One JSON value as text, so that number literals stay as they are."""
    choice = random_.random()
    if choice < 0.4:
        return number(random_)
    if choice < 0.6:
        return json.dumps(random_.choice(TEXTS))
    if choice < 0.75 or depth > 2:
        return random_.choice(["null", "true", "false"])
    if choice < 0.93:
        alike = random_.random()
        count = random_.randrange(4)
        if alike < 0.4:
            return f"[{','.join(number(random_) for _ in range(count))}]"
        if alike < 0.6:
            return f"[{','.join(json.dumps(random_.choice(TEXTS)) for _ in range(count))}]"
        return f"[{','.join(value(random_, depth + 1) for _ in range(count))}]"
    keys = random_.sample(["a", "b", "B", "é", ""], random_.randrange(3))
    return f"{{{','.join(f'{json.dumps(key)}:{value(random_, depth + 1)}' for key in keys)}}}"
