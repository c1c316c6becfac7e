"""Tasks of every kind that a contract can describe, and random values for them."""

from __future__ import annotations

import base64
import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from gomachinery_py import Context, Server
from gomachinery_py.annotations import type_named
from gomachinery_py.contracts.model import Contract, ParameterContract
from gomachinery_py.types import Float32, Int8, Json, UInt8, UInt64
from gomachinery_py.wire.reflect import RANGES, TYPE_NAMES

__all__ = ["Order", "declare", "drawn", "for_go"]

TEXTS = [
    "",
    "a",
    "żółw <&> \u2028\u2029",
    "\x00\x1f\x7f\r\n\t",
    "💥\U0010ffff",
    '"\\/',
    "5",
    "null",
    "`'%s'`",
    "x" * 300,
]


@dataclass
class Order:
    number: int
    lines: list[str]


def declare(server: Server) -> None:
    """One task for each type and one for any number of each, and such as people write."""
    for name in sorted(TYPE_NAMES):
        _typed(server, name)

    @server.task("billing.charge", queue="billing", retries=3, retry_timeout=4)
    async def charge(ctx: Context, customer: str, cents: UInt64 = 5, lines: list[str] = ["a"]) -> tuple[str, int]:  # noqa: B006
        """Charge a customer.

        Not part of the contract.
        """
        raise NotImplementedError

    @server.task("send-mail", priority=7, ignore_when_not_registered=True)
    def send(to: str, /, body: Json[Order], attachments: bytes = b"", *copies: str) -> None:
        """Uses ``SMTP``, 'quotes' and "quotes":
        - no list
        """

    @server.task("type")
    def keywords(type: Int8, func: Float32, args: list[UInt8], ctx: bool, tasks: str, value: float, len: int) -> Any:
        raise NotImplementedError

    @server.task("änderung/1")
    def change() -> tuple[Json[Order], Any]:
        raise NotImplementedError

    @server.task
    def anything(one, *more):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    for name in ("add_it", "addIt", "Add it", "1", "x" * 60, "y" * 200, "tasks", 'quote " \\ $'):
        server.task(name)(_named(name))


def _named(name: str) -> Callable[..., Any]:
    def function(number: int) -> int:
        raise NotImplementedError

    function.__doc__ = f"{name}\u202e\x07"
    return function


def _typed(server: Server, name: str) -> None:
    kind: Any = Annotated[Any, type_named(name)]

    def one(value: Any) -> Any:
        raise NotImplementedError

    def many(*values: Any) -> Any:
        raise NotImplementedError

    one.__annotations__ = {"value": kind, "return": kind}
    many.__annotations__ = {"values": kind, "return": kind}
    server.task(f"one_{name}")(one)
    server.task(f"many_{name}")(many)


def drawn(parameter: ParameterContract, rng: random.Random) -> Any:
    """A value for a parameter, as a Python caller gives it."""
    if parameter.json is not None:
        return Order(rng.randrange(100), [_text(rng) for _ in range(rng.randrange(3))])
    return _value(parameter.type, rng)


def _value(kind: str, rng: random.Random) -> Any:
    if kind == "any":
        return rng.choice([rng.random() < 0.5, _text(rng), rng.randrange(-5, 5)])
    if kind == "[]byte":
        return rng.randbytes(rng.randrange(20))
    if kind.startswith("[]"):
        return [_value(kind.removeprefix("[]"), rng) for _ in range(rng.randrange(4))]
    if kind in RANGES:
        low, high = RANGES[kind]
        return rng.choice([low, high, rng.randint(low, high), min(high, rng.randrange(100))])
    if kind.startswith("float"):
        return _float(kind == "float32", rng)
    return rng.random() < 0.5 if kind == "bool" else _text(rng)


def _text(rng: random.Random) -> str:
    return rng.choice(TEXTS) + "".join(chr(rng.randrange(0x20, 0x2FFF)) for _ in range(rng.randrange(4)))


def _float(is_short: bool, rng: random.Random) -> float:
    code = "<f" if is_short else "<d"
    if rng.random() < 0.4:
        number = rng.choice([0.0, -0.0, 1.0, -2.5, 1e20, 1e21, 1e-6, 1e-7, 16777216.0])
        return float(struct.unpack(code, struct.pack(code, number))[0])
    number = math.nan
    while not math.isfinite(number):
        [number] = struct.unpack(code, rng.randbytes(struct.calcsize(code)))
    return number


def for_go(contract: Contract, name: str, values: list[Any]) -> list[Any]:
    """The values as JSON that Go decodes into the parameters' types; written without our own encoder."""
    task = contract.tasks[name]
    plain = []
    for index, value in enumerate(values):
        parameter = task.at(index)
        assert parameter is not None
        if parameter.type == "any":
            kind = {bool: "bool", str: "string", int: "int64"}[type(value)]
            plain.append({"Type": kind, "Value": value})
        elif parameter.json is not None:
            plain.append(_json(value))
        elif parameter.type in ("[]byte", "[]uint8"):
            plain.append(base64.b64encode(bytes(value)).decode())
        else:
            plain.append(value)
    return plain


def _json(order: Order) -> str:
    """The text of an order as ``Json[Order]`` makes it, which is for the caller to do in Go."""
    return msgspec.json.encode(order).decode()
