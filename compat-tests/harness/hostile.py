"""Messages that no worker should ever get, each with what must become of it.

Every kind that stops, kills or confuses a Go worker is here, and more; :func:`kinds` names them, :func:`mutations`
makes any number of broken copies of good ones, :func:`plant` puts keys of every Redis type into harm's way.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gomachinery_py import wire
from gomachinery_py.incoming import MAX_BODY_BYTES

__all__ = [
    "CUSTOM_QUEUE",
    "DEAD",
    "DONE",
    "DROPPED",
    "FAILED",
    "OWN_QUEUE",
    "QUEUE",
    "RAN",
    "WAITS",
    "Message",
    "kinds",
    "mutations",
    "plant",
    "planted",
]

DEAD = "among the dead letters, byte for byte"
FAILED = "FAILURE"
DONE = "SUCCESS"
RAN = "SUCCESS, but its callback is among the dead letters"
WAITS = "still in the queue: nobody here knows its name"
DROPPED = "dropped, as it asks for"
ELSEWHERE = "in a queue that nobody here consumes"

QUEUE = "machinery_tasks"
CUSTOM_QUEUE = "special"
DEPTH = 10_001


@dataclass(frozen=True)
class Message:
    """Bytes, what must become of them, and for a FAILURE its text (all of it, or its beginning)."""

    name: str
    body: bytes
    fate: str
    text: str = ""
    uuid: str = ""

    def moved(self) -> Message:
        """The same as a worker writes it when it takes it from the delayed set to its queue."""
        try:
            signature = wire.decode_signature(self.body)
            if signature.routing_key in RESERVED[2:]:
                return self
            signature.routing_key = signature.routing_key or QUEUE
            fate = self.fate if signature.routing_key in (QUEUE, CUSTOM_QUEUE) else ELSEWHERE
            return replace(self, body=wire.encode_signature(signature), fate=fate)
        except wire.WireError:
            return self


def _document(name: str, **fields: Any) -> dict[str, Any]:
    return {"UUID": f"task_{name}", "Name": "add", "Args": [_arg("int64", 1)], **fields}


def _arg(kind: str, value: object) -> dict[str, Any]:
    return {"Name": "", "Type": kind, "Value": value}


def _chain(length: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for number in range(length):
        fields = {"OnSuccess": [{"UUID": f"task_link_{number}", "Name": "noop", "Immutable": True, **fields}]}
    return fields


def _nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * levels + closing * levels


# -- keys of others --

STATE = b'{"TaskUUID":"task_of_another","TaskName":"","State":"SUCCESS","Results":[],"Error":"",'
STATE += b'"CreatedAt":"0001-01-01T00:00:00Z","TTL":0}'
planted = [
    *("foreign string", "foreign json", "foreign state", "foreign list", "foreign set", "foreign hash"),
    *("foreign zset", "foreign stream", "foreign bits", "foreign hyperloglog"),
]


def plant(client: Any) -> None:
    """One key of every Redis type, under the names in ``planted``."""
    client.set("foreign string", b"\x00\xff precious")
    client.set("foreign json", b'{"UUID":1}')
    client.set("foreign state", STATE, ex=5000)
    client.rpush("foreign list", "a", "b")
    client.sadd("foreign set", "a")
    client.hset("foreign hash", "a", "b")
    client.zadd("foreign zset", {"a": 1})
    client.xadd("foreign stream", {"a": "b"}, id="1-1")
    client.setbit("foreign bits", 7, 1)
    client.pfadd("foreign hyperloglog", "a")


RESERVED = [
    *(QUEUE, CUSTOM_QUEUE, "delayed_tasks", "TriggerChordMutex", "machinery_lock_program_name_spec"),
    *(f"{{{QUEUE}}}:gmpy:{own}" for own in ("dead", "dead:reasons", "workers", "attempts", "inflight:x")),
]

# -- the kinds --

NOT_JSON = {
    "empty body": b"",
    "blank": b" \n\t ",
    "bad json": b'{"UUID": "x", "Name": add}',
    "cut short": b'{"UUID":"x","Name":"add","Args":[{"Name":"","Type":"int64","Val',
    "single quotes": b"{'Name': 'add'}",
    "a list": b'["add", 1, 2]',
    "a string": b'"add"',
    "a number": b"17",
    "binary": bytes(range(256)) * 4,
    "zeros": b"\x00" * 100,
    "gzip": b"\x1f\x8b\x08\x00" + b"\xff" * 50,
    "pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "not a number": b'{"UUID":"x","Name":"add","Args":[{"Type":"float64","Value":NaN}]}',
    "infinity": b'{"UUID":"x","Name":"add","Args":[{"Type":"float64","Value":-Infinity}]}',
    "leading zero": b'{"UUID":"x","Name":"add","Priority":01}',
    "deep": b'{"UUID":"x","Name":"add","Headers":{"a":' + _nested(DEPTH) + b"}}",
    "deep objects": b'{"UUID":"x","Name":"add","Headers":'
    + _nested(DEPTH, b'{"a":', b"}").replace(b":}", b":1}", 1)
    + b"}",
    "deep callbacks": b'{"Name":"add","OnSuccess":[' * DEPTH + b"null" + b"]}" * DEPTH,
    "a megabyte of brackets": b"[" * 1_000_000,
}
WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "uuid a number": {"UUID": 1},
    "name a list": {"Name": ["add"]},
    "args an object": {"Args": {}},
    "an arg a number": {"Args": [1]},
    "a type a number": {"Args": [{"Type": 1, "Value": 1}]},
    "headers a list": {"Headers": []},
    "priority 256": {"Priority": 256},
    "priority a fraction": {"Priority": 1.5},
    "priority negative": {"Priority": -1},
    "immutable text": {"Immutable": "yes"},
    "retry count too large": {"RetryCount": 2**63},
    "retry timeout too large": {"RetryTimeout": 2**64},
    "on success an object": {"OnSuccess": {}},
    "on success a number": {"OnSuccess": [1]},
    "chord callback text": {"ChordCallback": "multiply"},
    "eta empty": {"ETA": ""},
    "eta a number": {"ETA": 1_700_000_000},
    "eta without offset": {"ETA": "2024-01-01T00:00:00"},
    "eta in year 10000": {"ETA": "10000-01-01T00:00:00Z"},
    "eta of no day": {"ETA": "2024-02-30T00:00:00Z"},
    "eta in a callback": {"OnSuccess": [{"Name": "noop", "ETA": "yesterday"}]},
}
OWN_QUEUE = "its own queue"
REFUSED: dict[str, dict[str, Any]] = {
    "no name": {"Name": ""},
    "on success null": {"OnSuccess": [None]},
    "on error null": {"OnError": [None]},
    "a null callback below": {"OnSuccess": [{"Name": "noop", "OnError": [{"Name": "noop", "OnSuccess": [None]}]}]},
    "retry timeout near 2^63": {"RetryTimeout": 2**63 - 1, "RetryCount": 3},
    "retry timeout of a callback": {"OnError": [{"Name": "noop", "RetryTimeout": 2**63 - 2}]},
    "retry timeout of two years": {"RetryTimeout": 2 * 366 * 24 * 3600},
    "eta after 2262": {"ETA": "2262-04-12T00:00:00Z"},
    "eta in 9999": {"ETA": "9999-12-31T23:59:59Z"},
    "eta of a callback in 9999": {"OnSuccess": [{"Name": "noop", "ETA": "9999-12-31T23:59:59Z"}]},
    "an offset of a day": {"OnSuccess": [{"Name": "noop", "ETA": "2024-01-01T00:00:00+24:00"}]},
    "10,001 arguments": {"Args": [_arg("int64", 1)] * 10_001},
    "10,001 arguments below": {"OnSuccess": [{"Name": "add", "Args": [_arg("int64", 1)] * 10_001}]},
    "10,001 callbacks": {"OnError": [{"Name": "noop"}] * 10_001},
    OWN_QUEUE: {"UUID": "task_q", "RoutingKey": "task_q"},
    "its callback's queue": {"UUID": "task_q2", "OnSuccess": [{"Name": "noop", "RoutingKey": "task_q2"}]},
    "its own group": {"UUID": "task_g", "GroupUUID": "task_g", "GroupTaskCount": 1},
    "a callback is its group": {"GroupUUID": "group_g", "OnError": [{"Name": "noop", "UUID": "group_g"}]},
    **{f"uuid {name}": {"UUID": name} for name in (*RESERVED, *planted)},
    **{f"group uuid {name}": {"GroupUUID": name, "GroupTaskCount": 1} for name in RESERVED},
    **{f"callback {name}": {"OnSuccess": [{"Name": "noop", "UUID": name}]} for name in RESERVED},
    **{f"error callback {name}": {"OnError": [{"Name": "noop", "UUID": name}]} for name in RESERVED},
    **{
        f"chord callback {name}": {
            "GroupUUID": "g",
            "GroupTaskCount": 1,
            "ChordCallback": {"Name": "noop", "UUID": name},
        }
        for name in RESERVED
    },
    **{f"routing key {name}": {"RoutingKey": name} for name in RESERVED[2:]},
    **{f"a callback to {name}": {"OnSuccess": [{"Name": "noop", "RoutingKey": name}]} for name in RESERVED[2:]},
}
# Run, and then their chord cannot fire: the group is not there, not a group, or lacks a member.
CHORDS: dict[str, dict[str, Any]] = {
    "a chord without its group": {"GroupUUID": "group_missing"},
    "a chord that lacks a member": {"GroupUUID": "group_incomplete"},
    **{f"a chord in {name}": {"GroupUUID": name} for name in planted},
}
ERROR = "Reflect task args error: "
VALUES: dict[str, tuple[str, Any, str]] = {
    "int64 x": ("int64", "x", "x is not int64"),
    "int64 1.0": ("int64", 1.5, 'strconv.ParseInt: parsing "1.5": invalid syntax'),
    "int64 too large": ("int64", 2**63, f'strconv.ParseInt: parsing "{2**63}": value out of range'),
    "int64 null": ("int64", None, "<nil> is not int64"),
    "int64 a list": ("int64", [1, [True, {"a": None}]], "[1 [true map[a:<nil>]]] is not int64"),
    "uint8 negative": ("uint8", -1, 'strconv.ParseUint: parsing "-1": invalid syntax'),
    "int8 300": ("int8", 300, "300 does not fit int8 (-128 to 127)"),
    "float32 too large": ("float32", 1e39, "1e+39 does not fit float32"),
    "bool text": ("bool", "true", "true is not bool"),
    "string a number": ("string", 5, "5 is not string"),
    "unknown type": ("int128", 1, "int128 is not one of supported types"),
    "no type": ("", 1, " is not one of supported types"),
    "python type": ("builtins.eval", "1", "builtins.eval is not one of supported types"),
    "list of int64 true": ("[]int64", True, "true is not []int64"),
    "list of int64 an object": ("[]int64", {"a": 1}, "map[a:1] is not []int64"),
    "list of int64 with true": ("[]int64", [1, True], "true is not int64"),
    "list of int64 with {}": ("[]int64", [{}], "map[] is not int64"),
    "list of int64 text": ("[]int64", "5", "53 is not int64"),
    "list of string with false": ("[]string", ["a", False], "false is not string"),
    "list of string false": ("[]string", False, "false is not []string"),
    "bytes that are not base64": ("[]byte", "?", "illegal base64 data at input byte 0"),
    "a megabyte": ("int64", "y" * 1_000_000, "y" * 1000),
    "a deep value": ("int64", [[[[1]]]], "[[[[1]]]] is not int64"),
}
HARMLESS: dict[str, dict[str, Any]] = {
    "an unknown field": {"Password": "x"},
    "headers of all kinds": {"Headers": {"a": [1, None, {"b": "\u2028"}], "": 1.5}},
    "zero eta": {"ETA": "0001-01-01T00:00:00Z"},
    "a long uuid": {"UUID": "task_" + "u" * 100_000},
    "a control uuid": {"UUID": "task_\r\n\x00\x1b[31m red"},
    "a wide uuid": {"UUID": "task_" + "\U000e0001" * 5_000},
    "a lone surrogate": {"UUID": "task_\ud800"},
    "negative retry count": {"RetryCount": -(2**63)},
    "a group without a chord": {"GroupUUID": "group_missing", "GroupTaskCount": 5},
    "a long chain": _chain(250),
}


def kinds() -> list[Message]:
    """One message of each kind."""
    made = [Message(name, body, DEAD) for name, body in NOT_JSON.items()]
    made += [Message(name, _encoded(name, fields), DEAD) for name, fields in (WRONG_FIELDS | REFUSED).items()]
    made.append(Message("retry count 1e400", b'{"UUID":"x","Name":"add","RetryCount":1e400}', DEAD))
    chord = {"GroupTaskCount": 2, "ChordCallback": {"Name": "multiply"}}
    made += [Message(name, _encoded(name, fields | chord), DEAD) for name, fields in CHORDS.items()]
    for name, (kind, value, text) in VALUES.items():
        body = _encoded(name, {"Args": [_arg("int64", 1), _arg(kind, value)]})
        made.append(Message(name, body, FAILED, ERROR + text, f"task_{name}"))
    for name, fields in HARMLESS.items():
        uuid = fields.get("UUID", f"task_{name}").replace("\ud800", "\ufffd")
        made.append(Message(name, _encoded(name, fields), DONE, uuid=uuid))
    for key in planted:
        callback = {"OnSuccess": [{"Name": "noop", "UUID": key}]}
        made.append(Message(f"callback {key}", _encoded(f"callback {key}", callback), RAN, uuid=f"task_callback {key}"))
        if key != "foreign list":
            callback = {"OnSuccess": [{"Name": "noop", "RoutingKey": key}]}
            made.append(Message(f"callback to {key}", _encoded(f"to {key}", callback), RAN, uuid=f"task_to {key}"))
    made += [
        Message("unknown name", _encoded("unknown", {"Name": "nobody's"}), WAITS),
        Message("a long name", _encoded("long name", {"Name": "n" * 200_000}), WAITS),
        Message("unknown and ignored", _encoded("i", {"Name": "x", "IgnoreWhenTaskNotRegistered": True}), DROPPED),
        Message("null", b"null", DEAD),
        Message("an empty object", b"{}", DEAD),
        Message("16 MiB and a byte", _padded(MAX_BODY_BYTES + 1), DEAD),
        Message("16 MiB", _padded(MAX_BODY_BYTES), DONE, uuid="task_padded"),
        Message(
            "too few arguments", _encoded("few", {"Name": "fail", "Args": []}), FAILED, "reflect: Call with", "task_few"
        ),
        Message("wrong arguments", _encoded("wrong", {"Name": "fail"}), FAILED, "reflect: Call using", "task_wrong"),
    ]
    return made


def _encoded(name: str, fields: dict[str, Any]) -> bytes:
    return json.dumps(_document(name, **fields)).encode()


def _padded(size: int) -> bytes:
    document = _document("padded", Name="concat", RoutingKey=QUEUE, Args=[_arg("string", "%")])
    head, _, tail = wire.encode_signature(wire.decode_signature(json.dumps(document).encode())).partition(b"%")
    return head + b"x" * (size - len(head) - len(tail)) + tail


# -- mutations --

TOKENS = [
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"-1",
    b"1e400",
    b"1.5",
    b'"x"',
    b"9" * 25,
    b"\xff",
    b"\\ud800",
    b'\\"',
]


def mutations(count: int, seed: int, registered: frozenset[str]) -> Iterator[Message]:
    """Broken copies of good messages, and what our own reading of each says must become of it."""
    dice = random.Random(seed)
    for number in range(count):
        uuid = f"task_mutated_{number}"
        body = bytearray(wire.encode_signature(wire.decode_signature(json.dumps(_base(dice, uuid)).encode())))
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            _mutate(dice, body)
        yield _judged(f"mutation {number} of seed {seed}", bytes(body), registered)


def _base(dice: random.Random, uuid: str) -> dict[str, Any]:
    document = _document("", UUID=uuid, Args=[_arg("int64", dice.randrange(-5, 5)) for _ in range(dice.randrange(3))])
    if dice.random() < 0.5:
        document |= {"Name": "concat", "Args": [_arg("string", "a"), _arg("string", "ą\n")]}
    if dice.random() < 0.3:
        document["OnSuccess"] = [{"UUID": f"{uuid}_next", "Name": "add", "Args": [_arg("int64", 1)]}]
    if dice.random() < 0.3:
        document |= {"Headers": {"trace": "1"}, "ETA": "2024-01-01T00:00:00.5+02:00", "RetryCount": 1}
    return document


def _mutate(dice: random.Random, body: bytearray) -> None:
    at = dice.randrange(len(body) + 1)
    match dice.randrange(9):
        case 0:
            body[at : at + 1] = bytes([dice.randrange(256)])
        case 1:
            del body[at : at + dice.randrange(1, 12)]
        case 2:
            body[at:at] = dice.choice(TOKENS)
        case 3:
            body[at:at] = body[at : at + dice.randrange(1, 60)]
        case 4:
            del body[max(1, at) :]
        case _:
            # A whole value is replaced by another kind of value.
            colon = body.find(b":", at)
            if colon >= 0:
                end = min((found for mark in b",}]" if (found := body.find(mark, colon)) >= 0), default=len(body))
                body[colon + 1 : end] = dice.choice(TOKENS)


def _judged(name: str, body: bytes, registered: frozenset[str]) -> Message:
    try:
        signature = wire.decode_signature(body)
    except wire.WireError:
        return Message(name, body, DEAD)
    if signature.name and signature.name not in registered:
        return Message(name, body, DROPPED if signature.ignore_when_task_not_registered else WAITS)
    return Message(name, body, "", uuid=signature.uuid)
