"""Random documents: what Machinery stores, written in every way that JSON allows, and in many that it does not."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Final

__all__ = ["KINDS", "Documents"]

SIGNATURE, TASK_STATE, GROUP_META = KINDS = ("s", "t", "g")

_FIELDS: Final = {
    SIGNATURE: """UUID:string Name:string RoutingKey:string ETA:time GroupUUID:string GroupTaskCount:int Args:args
        Headers:object Priority:uint8 Immutable:bool RetryCount:int RetryTimeout:int OnSuccess:signatures
        OnError:signatures ChordCallback:signature BrokerMessageGroupId:string SQSReceiptHandle:string
        StopTaskDeletionOnError:bool IgnoreWhenTaskNotRegistered:bool""",
    TASK_STATE: """TaskUUID:string TaskName:string State:string Results:results Error:string CreatedAt:time
        TTL:int""",
    GROUP_META: """GroupUUID:string TaskUUIDs:strings ChordTriggered:bool Lock:bool CreatedAt:time TTL:int""",
    "arg": "Name:string Type:string Value:value",
    "result": "Type:string Value:value",
}
_TABLES: Final = {
    kind: [(name, field) for name, _, field in (row.partition(":") for row in rows.split())]
    for kind, rows in _FIELDS.items()
}
_OTHER_KEYS: Final = ("", "uuid ", "UUIDs", "Nam", "unknown", "\u212a", "É", "ıd", "value\u0000", "a" * 70)
_ALIKE: Final = {"k": "\u212a", "K": "\u212a", "s": "\u017f", "S": "\u017f"}
_TYPES: Final = ("int64", "string", "bool", "float64", "[]byte", "[]int64", "uint8", "x")
_PLAIN: Final = ("task_4f1d", "add", "machinery_tasks", "", "a", "SUCCESS", "PENDING", "two words", "tab\\t", "0")
_PIECES: Final = (
    *(b"a", b"Z", b" ", b"/", b"'", b"<", b">", b"&", b"\x7f", b"e\xcc\x81", b"\xc3\xa9", b"\xe2\x80\xa8"),
    *(b"\xe2\x80\xa9", b"\xf0\x9f\x98\x80", b"\xef\xbf\xbd", b"\xef\xbb\xbf", b'\\"', b"\\\\", b"\\/", b"\\b", b"\\f"),
    *(
        b"\\n",
        b"\\r",
        b"\\t",
        b"\\u0000",
        b"\\u001f",
        b"\\u0041",
        b"\\u00e9",
        b"\\u003C",
        b"\\u2028",
        b"\\uD83D\\uDE00",
    ),
    *(b"\\ud83d", b"\\udc00", b"\\ud800\\u0041", b"\\ud800\\ud83d\\ude00", b"\\uFFFD", b"\\ufeff", b"\\u212a"),
    *(b"\xff", b"\xc3", b"\xe2\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xf0\x9f\x98", b"\x80"),
)
_BAD_PIECES: Final = (b"\n", b"\x00", b"\x1f", b"\t", b"\\x", b"\\u12", b"\\u12g4", b"\\", b'"', b"\\'", b"\\U0041")
_NUMBERS: Final = (
    *("0", "1", "-1", "-0", "7", "255", "256", "-256", "1.0", "1.5", "1.50", "0.1", "-0.0", "0.0", "1e5", "1E5"),
    *("1e+5", "1e-5", "1e21", "1e+21", "1e20", "100000000000000000000", "1e-6", "1e-7", "0.000001", "0.0000001"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1e400", "-1e-400"),
    *("18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "3.4028235e38", "5e-324"),
    *("1.7976931348623157e308", "1.7976931348623157e+308", "0.30000000000000004", "4.35", "1e0", "10e-1", "2E+0"),
    *("0e0", "0E-10", "123e-2", "9007199254740993", "9007199254740993.0"),
)
_BAD_NUMBERS: Final = (
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "1e+",
    "0x10",
    "NaN",
    "Infinity",
    "-Infinity",
    "1_0",
    "--1",
    "1.e5",
)
_TIMES: Final = (
    *("2024-02-29T12:30:45Z", "2024-02-29T12:30:45.123456789Z", "2024-02-29T12:30:45.5+02:00", "0001-01-01T00:00:00Z"),
    *("2024-06-01T00:00:00+00:00", "2024-06-01T00:00:00-00:00", "2024-06-01T00:00:00,5Z", "2024-06-01T1:00:00Z"),
    *("2024-06-01T00:00:00.1234567891234Z", "2024-06-01T00:00:00.000Z", "2024-06-01T00:00:00.10+05:45"),
    *(
        "0000-01-01T00:00:00Z",
        "0000-02-29T00:00:00+01:00",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59-23:59",
    ),
    *(
        "0000-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00+01:00",
        "2024-06-01T00:00:00+23:60",
        "2024-06-01T00:00:00+24:00",
    ),
    *("2024-06-01T00:00:00-24:60", "2262-04-11T23:47:16.854775808Z", "1677-09-21T00:12:43.145224191Z"),
)
_BAD_TIMES: Final = (
    *(
        "",
        "now",
        "2024-06-01",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-06-01T24:00:00Z",
        "2024-06-01 00:00:00Z",
    ),
    *(
        "2024-06-01T00:00:00",
        "2024-06-01T00:00:00z",
        "2024-06-01t00:00:00Z",
        "2024-06-01T00:60:00Z",
        "2024-06-01T00:00:60Z",
    ),
    *("2024-06-01T00:00:00+25:00", "2024-06-01T00:00:00+01:61", "2024-06-01T00:00:00+0100", "2024-06-01T00:00:00.Z"),
    *(
        "12024-06-01T00:00:00Z",
        "-024-06-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-06-00T00:00:00Z",
        "2024-06-01T00:00:00ZZ",
    ),
    *(
        "٢٠٢٤-06-01T00:00:00Z",
        "2024-06-01T00:00:00.٥Z",
        " 2024-06-01T00:00:00Z",
        "2024-6-1T00:00:00Z",
        "2024-06-01T001:00:00Z",
    ),
)
_SPACES: Final = (b" ", b"\n", b"\t", b"\r\n", b"  ")


class Documents:
    """Documents by one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._wrong = 0.0
        self._odd = 0.0
        self._null = 0.0
        self._spaces = False

    def document(self, kind: str) -> bytes:
        """One document that is to be decoded as ``kind``."""
        chance = self._random.random
        # Most documents have but a few oddities, so that they are taken; some have none, some are full of them.
        self._wrong = self._random.choice((0.0, 0.0, 0.0, 0.002, 0.01, 0.1))
        self._odd = self._random.choice((0.0, 0.02, 0.1, 0.4))
        self._null = self._random.choice((0.0, 0.0, 0.05 + self._odd))
        self._spaces = chance() < 0.15
        made = self._object(kind, 0, ordered=chance() < 0.7)
        if chance() < 0.02:
            made = self._random.choice(
                (b"null", b"[]", b"5", b'"x"', b"true", b"", b" ", b"{}", made + made, b"[" + made + b"]")
            )
        if chance() < 0.06:
            made += self._random.choice((b" ", b"x", b"{}", b"\n{", b"\x00", b"]", b"}", b",", b"nullnull", b"\xff"))
        if chance() < 0.25:
            made = self._mutated(made)
        return made

    def deep_document(self, kind: str) -> bytes:
        """Near the depth that Go takes, which is 10,000."""
        depth = 10_000 + self._random.randrange(-6, 3)
        opening, closing = self._random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
        inner = b"0" if self._random.random() < 0.5 else b""
        if kind == GROUP_META:
            head, tail = b'{"unknown":', b"}"
        else:
            head, tail = (b'{"Args":[{"Value":', b"}]}") if kind == SIGNATURE else (b'{"Results":[{"Value":', b"}]}")
            choice = self._random.random()
            if choice < 0.3:
                head, tail, inner = b'{"Name":"x","unknown":', b"}", inner or b"1"
            elif choice < 0.8 and kind == SIGNATURE:
                head, tail, inner = b"", b"", b"null"
                opening, closing = self._random.choice(
                    ((b'{"ChordCallback":', b"}"), (b'{"OnSuccess":[', b"]}"), (b'{"onerror":[', b"]}"))
                )
        per_step = opening.count(b"[") + opening.count(b"{")
        if opening.endswith(b":") and not inner:
            inner = b"{}"
        steps = (depth - head.count(b"[") - head.count(b"{") - inner.count(b"{")) // per_step
        return head + opening * steps + inner + closing * steps + tail

    # -- objects and members --

    def _object(self, kind: str, depth: int, *, ordered: bool = False) -> bytes:
        table = _TABLES[kind]
        chance = self._random.random
        if not ordered and chance() < 0.5:
            table = self._random.sample(table, self._random.randrange(len(table) + 1))
        members = [(self._key(name), self._member(field, depth)) for name, field in table]
        while chance() < 3 * self._odd and chance() < 0.7:
            name, field = self._random.choice(_TABLES[kind])
            twin = (self._key(name), self._member(field, depth))
            members.insert(self._random.randrange(len(members) + 1), twin)
        while chance() < self._odd:
            other = self._quoted(self._random.choice(_OTHER_KEYS).encode())
            members.insert(self._random.randrange(len(members) + 1), (other, self._value(depth)))
        return self._joined(b"{", [key + self._space() + b":" + self._space() + value for key, value in members], b"}")

    def _key(self, name: str) -> bytes:
        if self._random.random() < self._odd:
            choice = self._random.random()
            if choice < 0.3:
                name = self._random.choice((name.lower(), name.upper(), name.swapcase()))
            elif choice < 0.6:
                name = "".join(self._random.choice((c.lower(), c.upper(), _ALIKE.get(c, c))) for c in name)
            elif choice < 0.7:
                return b'"' + "".join(f"\\u{ord(c):04x}" for c in name).encode() + b'"'
            elif choice < 0.8:
                return self._quoted(name.encode() + self._random.choice(_PIECES))
        return b'"' + name.encode() + b'"'

    def _member(self, field: str, depth: int) -> bytes:
        chance = self._random.random()
        if chance < self._wrong:
            return self._random.choice((self._value(depth), self._broken(), b"[]", b"{}", b'""', b"0", b"false"))
        if chance < self._wrong + self._null:
            return b"null"
        return self._MAKERS[field](self, depth)

    def _args(self, depth: int) -> bytes:
        return self._array(lambda: self._element("arg", depth), 4)

    def _results(self, depth: int) -> bytes:
        return self._array(lambda: self._element("result", depth), 4)

    def _signatures(self, depth: int) -> bytes:
        if depth > 2 or self._random.random() < 0.6:
            return self._random.choice((b"null", b"[]"))
        return self._array(lambda: self._element(SIGNATURE, depth + 1), 3)

    def _signature(self, depth: int) -> bytes:
        if depth > 2 or self._random.random() < 0.6:
            return b"null"
        return self._object(SIGNATURE, depth + 1)

    def _element(self, kind: str, depth: int) -> bytes:
        chance = self._random.random()
        if chance < self._odd / 2:
            return b"null"
        if chance < self._odd / 2 + self._wrong:
            return self._value(depth)
        return self._object(kind, depth, ordered=self._random.random() < 0.8)

    def _strings(self, _depth: int) -> bytes:
        return self._array(lambda: b"null" if self._random.random() < self._odd else self._string(0), 5)

    def _array(self, element: Callable[[], bytes], most: int) -> bytes:
        return self._joined(b"[", [element() for _ in range(self._random.randrange(most + 1))], b"]")

    def _joined(self, opening: bytes, parts: list[bytes], closing: bytes) -> bytes:
        if not self._spaces:
            return opening + b",".join(parts) + closing
        return opening + b",".join(self._space() + part + self._space() for part in parts) + closing

    def _space(self) -> bytes:
        return self._random.choice(_SPACES) if self._spaces and self._random.random() < 0.3 else b""

    # -- values --

    def _value(self, depth: int) -> bytes:
        choice = self._random.random()
        if choice < 0.35:
            return self._number(depth)
        if choice < 0.6:
            return self._string(depth)
        if choice < 0.75 or depth > 4:
            return self._random.choice((b"null", b"true", b"false"))
        if choice < 0.9:
            return self._array(lambda: self._value(depth + 1), 4)
        return self._map(depth)

    def _map(self, depth: int) -> bytes:
        keys = self._random.choices(("a", "b", "B", "é", "", "traceparent", "\uffff", "\U00010000", "\\u0061"), k=4)
        count = self._random.randrange(5)
        return self._joined(b"{", [b'"' + key.encode() + b'":' + self._value(depth + 1) for key in keys[:count]], b"}")

    def _string(self, _depth: int) -> bytes:
        if self._random.random() >= self._odd:
            return b'"' + self._random.choice(_PLAIN + _TYPES).encode() + b'"'
        pieces = _PIECES if self._random.random() >= self._wrong else _PIECES + _BAD_PIECES
        return self._quoted(b"".join(self._random.choices(pieces, k=self._random.randrange(8))))

    def _quoted(self, inner: bytes) -> bytes:
        return b'"' + inner + b'"'

    def _number(self, _depth: int) -> bytes:
        choice = self._random.random()
        if choice < self._wrong:
            return self._random.choice(_BAD_NUMBERS).encode()
        if choice < 0.5:
            return str(self._random.randrange(-1000, 1000)).encode()
        if choice < 0.8:
            return self._random.choice(_NUMBERS).encode()
        if choice < 0.82:
            return b"1" * self._random.choice((20, 400, 640, 641, 4300, 4301))
        if choice < 0.9:
            (number,) = struct.unpack("<d", self._random.randbytes(8))
            return repr(number).encode() if number == number and abs(number) != float("inf") else b"1"
        return str(
            self._random.randrange(-(1 << self._random.randrange(1, 80)), 1 << self._random.randrange(1, 80))
        ).encode()

    def _int(self, _depth: int) -> bytes:
        choice = self._random.random()
        if choice < self._wrong:
            return self._number(0)
        if choice < 0.8:
            return str(self._random.choice((0, 0, 0, 1, 2, 3600))).encode()
        return self._random.choice((b"-0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"1700000000"))

    def _uint8(self, _depth: int) -> bytes:
        if self._random.random() < self._wrong:
            return self._random.choice((b"256", b"-1", b"-0", b"1.0", b"1e1", b"99999999999999999999"))
        return self._random.choice((b"0", b"0", b"9", b"255"))

    def _bool(self, _depth: int) -> bytes:
        return self._random.choice((b"false", b"false", b"true"))

    def _time(self, _depth: int) -> bytes:
        choice = self._random.random()
        if choice < self._wrong:
            return b'"' + self._random.choice(_BAD_TIMES).encode() + b'"'
        if choice < self._wrong + 0.02:
            return b'"' + self._random.choice(_TIMES).replace("T", "\\u0054").encode() + b'"'
        if choice < 0.5:
            r = self._random.randrange
            text = f"{r(1, 9999):04}-{r(1, 13):02}-{r(1, 29):02}T{r(24):02}:{r(60):02}:{r(60):02}"
            if r(2):
                text += f".{r(10 ** r(1, 11))}"
            text += "Z" if r(2) else f"{'+-'[r(2)]}{r(24):02}:{r(60):02}"
            return b'"' + text.encode() + b'"'
        return b'"' + self._random.choice(_TIMES).encode() + b'"'

    def _broken(self) -> bytes:
        return self._random.choice(
            (b"nul", b"True", b"tru", b"fals", b"'x'", b"", b"]", b"}", b"{", b"[", b"\xe2\x80\xa8", b'"')
        )

    _MAKERS: Final = {
        "string": _string,
        "int": _int,
        "uint8": _uint8,
        "bool": _bool,
        "time": _time,
        "value": _value,
        "object": _map,
        "args": _args,
        "results": _results,
        "signatures": _signatures,
        "signature": _signature,
        "strings": _strings,
    }

    # -- bytes --

    def _mutated(self, document: bytes) -> bytes:
        made = bytearray(document)
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            at = self._random.randrange(len(made) + 1)
            choice = self._random.randrange(6)
            if choice == 0 and at < len(made):
                made[at] ^= 1 << self._random.randrange(8)
            elif choice == 1 and at < len(made):
                made[at] = self._random.randrange(256)
            elif choice == 2:
                made[at : at + self._random.randrange(1, 20)] = b""
            elif choice == 3:
                made[at:at] = self._random.choice(
                    (b'"', b",", b":", b"{", b"}", b"[", b"]", b"\\", b"0", b"-", b"e", b".", b" ")
                )
            elif choice == 4:
                made[at:at] = made[at : at + self._random.randrange(1, 60)]
            elif self._random.random() < 0.3:
                del made[at:]
        return bytes(made)
