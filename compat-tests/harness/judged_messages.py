"""Messages of every kind that a queue may hold, for live Go to judge: good, odd, broken and hostile ones."""

from __future__ import annotations

import json
import random
from typing import Any

from gomachinery_py.diagnosis.verdict import Kind, Knowledge, go_verdict
from gomachinery_py.server import Server
from gomachinery_py.types import Float32, Int8, Int32, UInt8
from harness import hostile
from harness.documents import Documents
from harness.reflected import TYPES, value

__all__ = ["KNOWN", "messages"]

server = Server("redis://127.0.0.1:1")


@server.remote("add")
def add(*numbers: int) -> int:
    raise NotImplementedError


@server.remote("sum")
def total(numbers: list[int]) -> int:
    raise NotImplementedError


@server.remote("noop")
def noop() -> None:
    raise NotImplementedError


@server.remote("fail")
def fail(message: str) -> None:
    raise NotImplementedError


@server.remote("panic_string")
def panic_string() -> None:
    raise NotImplementedError


@server.remote("return_just_error")
def return_just_error(message: str, fails: bool) -> None:
    raise NotImplementedError


@server.remote("concat")
def concat(*parts: str) -> str:
    raise NotImplementedError


@server.remote("echo_int8")
def echo_int8(value: Int8) -> Int8:
    raise NotImplementedError


@server.remote("echo_int32")
def echo_int32(value: Int32) -> Int32:
    raise NotImplementedError


@server.remote("echo_uint8")
def echo_uint8(value: UInt8) -> UInt8:
    raise NotImplementedError


@server.remote("echo_float32")
def echo_float32(value: Float32) -> Float32:
    raise NotImplementedError


@server.remote("echo_[]uint8")
def echo_bytes(value: bytes) -> bytes:
    raise NotImplementedError


@server.remote("echo_[]int64")
def echo_list(value: list[int]) -> list[int]:
    raise NotImplementedError


KNOWN = Knowledge({name: task.parameters for name, task in server.tasks.items()})
"""Of the test tasks of go-harness, those that the messages name."""

_ARGUMENTS = {
    "add": ["int64"] * 3,
    "sum": ["[]int64"],
    "fail": ["string"],
    "return_just_error": ["string", "bool"],
    "concat": ["string"] * 2,
    **{name: [name.removeprefix("echo_")] for name in KNOWN.tasks or () if name.startswith("echo_")},
}


def messages(count: int, seed: int) -> list[bytes]:
    """``count`` messages: every hostile kind, random documents, broken copies, and good ones with odd parts.

    None is empty, because a broker hands over no empty one, and none hangs, because each costs the judge's whole limit.
    """
    dice = random.Random(seed)
    documents = Documents(seed)
    some = count // 4
    made = [kind.body for kind in hostile.kinds() if len(kind.body) < 1 << 16]
    made += [documents.document("s") for _ in range(some)]
    made += [mutation.body for mutation in hostile.mutations(some, seed, frozenset())]
    made = [message for message in made if message and not _hangs(message)]
    while len(made) < count:
        message = _odd(dice)
        if not _hangs(message):
            made.append(message)
    return made


def _hangs(message: bytes) -> bool:
    verdict = go_verdict(message, KNOWN)
    return Kind.HANGS in (verdict.kind, verdict.failure.kind if verdict.failure else None)


def _odd(dice: random.Random) -> bytes:
    """A message that can be decoded, with arguments that may fit and parts that may harm."""
    name = dice.choice([*_ARGUMENTS, *_ARGUMENTS, "noop", "panic_string", "nobodys", ""])
    types = list(_ARGUMENTS.get(name, []))
    if dice.random() < 0.2:
        types = types[: dice.randrange(len(types) + 1)] + [dice.choice(TYPES) for _ in range(dice.randrange(2))]
    if dice.random() < 0.1 and types:
        types[dice.randrange(len(types))] = dice.choice(TYPES)
    args = ",".join(f'{{"Name":"","Type":{json.dumps(kind)},"Value":{_value(dice, kind)}}}' for kind in types)
    fields: dict[str, Any] = {"UUID": "task_odd", "Name": name}
    for chance, odd in (
        (0.2, {"RetryCount": dice.choice([1, 3, -1, 0])}),
        (0.1, {"RetryTimeout": dice.choice([0, 1, 8, 100, -5, 10**9, 2**62])}),
        (0.1, {"OnSuccess": dice.choice([[None], [{"Name": "noop"}], [{"Name": "noop"}, None], [], None])}),
        (0.1, {"OnError": dice.choice([[None], [{"Name": "noop"}], [{"Name": "noop"}, None], [], None])}),
        (0.1, {"GroupUUID": dice.choice(["group_1", "task_odd", ""]), "GroupTaskCount": dice.choice([0, 1, 2])}),
        (0.1, {"ChordCallback": dice.choice([{"Name": "noop"}, None, {}])}),
        (0.1, {"StopTaskDeletionOnError": True}),
        (0.1, {"IgnoreWhenTaskNotRegistered": True}),
        (0.1, {"RoutingKey": dice.choice(["", "machinery_tasks", "elsewhere", "task_odd"])}),
        (0.05, {"OnError": [{"Name": "noop", "ETA": "2024-01-01T00:00:00+24:00"}]}),
        (0.05, {"ETA": dice.choice(["2199-01-01T00:00:00Z", "2024-01-01T00:00:00+24:00", "0001-01-01T00:00:00Z"])}),
        (0.05, {"Headers": dice.choice([None, {}, {"a": [1, None]}])}),
    ):
        if dice.random() < chance:
            fields |= odd
    document = json.dumps(fields)
    return f'{document[:-1]}, "Args": {f"[{args}]" if args or dice.random() < 0.5 else "null"}}}'.encode()


def _value(dice: random.Random, kind: str) -> str:
    """Mostly one that fits."""
    if dice.random() < 0.3:
        return value(dice)
    plain = {
        "string": '"text"',
        "bool": "false",
        "[]int64": "[1,2]",
        "[]uint8": '"YWI="',
        "uint8": str(dice.randrange(400)),
        "int8": str(dice.randrange(-200, 300)),
        "int32": str(dice.randrange(-(1 << 34), 1 << 34)),
        "float32": dice.choice(["1.5", "3.5e38", "0.1"]),
    }
    return plain.get(kind, str(dice.randrange(-9, 9)))
