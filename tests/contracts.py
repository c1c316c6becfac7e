"""Contracts that tests share: drawn ones, and an app with every kind of task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from hypothesis import strategies as st

from gomachinery_py import Context, Server
from gomachinery_py.annotations import type_named
from gomachinery_py.contracts.model import ANY, REQUIRED, Contract, ParameterContract, ResultContract, TaskContract
from gomachinery_py.golang.json import parse, write_value
from gomachinery_py.types import Int8, Json, UInt8
from gomachinery_py.wire.reflect import RANGES, TYPE_NAMES

__all__ = ["Order", "app", "contracts"]

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_names = _texts.filter(bool) | st.sampled_from(
    ["yes", "null", "5", "a.b", "send-mail", "type", "#x", "- a", "{a}", "é"]
)
_types = st.sampled_from(sorted(TYPE_NAMES))


@st.composite
def _values(draw: st.DrawFn, kind: str) -> Any:
    """A default of a type, as JSON holds it."""
    made: Any
    if kind == ANY:
        made = draw(st.none() | st.booleans() | _texts | st.integers(-(1 << 63), (1 << 64) - 1))
    elif kind in ("[]byte", "[]uint8"):
        made = draw(st.binary(max_size=9))
    elif kind.startswith("[]"):
        made = [draw(_values(kind.removeprefix("[]"))) for _ in range(draw(st.integers(0, 2)))]
    elif kind in RANGES:
        made = draw(st.integers(*RANGES[kind]))
    elif kind.startswith("float"):
        made = draw(st.floats(allow_nan=False, allow_infinity=False, width=32 if kind == "float32" else 64))
    else:
        made = draw(st.booleans() if kind == "bool" else _texts)
    if kind != ANY and not kind.startswith("[]"):
        made = type_named(kind).to_wire(made)
    return parse(write_value(made).encode())


@st.composite
def _results(draw: st.DrawFn) -> ResultContract:
    kind = draw(_types | st.just(ANY))
    return ResultContract(kind, draw(st.none() | _names) if kind in ("string", "[]string") else None)


@st.composite
def _tasks(draw: st.DrawFn) -> TaskContract:
    parameters: list[ParameterContract] = []
    names = draw(st.lists(_names, max_size=4, unique=True))
    first_optional = draw(st.integers(0, len(names)))
    for index, name in enumerate(names):
        kind = draw(_types | st.just(ANY))
        variadic = index == len(names) - 1 and draw(st.booleans())
        default = REQUIRED if variadic or index < first_optional else draw(_values(kind))
        parameters.append(ParameterContract(kind, None, draw(st.just(name) | st.none()), variadic, default))
    return TaskContract(
        draw(_names),
        tuple(parameters),
        draw(st.none() | st.lists(_results(), max_size=3).map(tuple)),
        queue=draw(_texts),
        retries=draw(st.integers(0, 9)),
        retry_timeout=draw(st.integers(0, 9)),
        priority=draw(st.integers(0, 255)),
        ignore_when_not_registered=draw(st.booleans()),
        doc=draw(_texts),
        served_by=draw(_texts),
    )


contracts = st.lists(_tasks(), max_size=4, unique_by=lambda task: task.name).map(Contract.of)


@dataclass
class Order:
    number: int
    lines: list[str]


_ORDER = Order(1, ["<x>"])


def app(url: str = "eager") -> Server:
    """One task for each type, and what contracts have besides types."""
    server = Server(url)
    for name in sorted(TYPE_NAMES):

        def echo(value: Any) -> Any:
            return value

        kind = Annotated[Any, type_named(name)]
        echo.__annotations__ = {"value": kind, "return": kind}
        server.task(f"echo_{name}")(echo)

    @server.task("billing.charge", queue="billing", retries=3, retry_timeout=4, priority=2)
    async def charge(ctx: Context, customer: str, cents: int = 5, lines: list[str] = ["a"]) -> tuple[str, int]:  # noqa: B006
        """Charge a customer.

        The rest is not for contracts.
        """
        raise NotImplementedError

    @server.task("send-mail", ignore_when_not_registered=True)
    def send(to: str, /, order: Json[Order] = _ORDER, raw: bytes = b'a"\xff', *copies: str) -> Json[Order]:
        raise NotImplementedError

    @server.task("import")
    def words(lambda_: Int8, small: list[UInt8] = [1, 2], rate: float = 1.0, orders: list[Json[Order]] = []) -> None:  # noqa: B006
        raise NotImplementedError

    @server.task
    def anything(one, two=2.0, three=None, *more):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    for odd in ("server", "int", "self", "__private", "1st", "a b", "a-b", 'q"\\\n', "Ünïcode", "list", "_"):

        def function(number: int) -> int:
            return number

        server.task(odd)(function)
    return server
