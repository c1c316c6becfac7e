"""Python annotations as Machinery types, calls as arguments, return values as results."""

from __future__ import annotations

import collections.abc
import enum
import math
from dataclasses import dataclass
from typing import Annotated, Any, NewType, TypedDict

import msgspec
import pytest

from gomachinery_py.annotations import wire_value
from gomachinery_py.errors import ArgumentError, UnsupportedType
from gomachinery_py.golang.json import Number
from gomachinery_py.types import (
    Bool,
    CallMismatch,
    Float32,
    Float64,
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
    Json,
    Parameters,
    Results,
    UInt,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    infer_type,
    plain_results,
    type_for,
    type_named,
)
from gomachinery_py.wire.model import Arg, TaskResult

UserId = NewType("UserId", int)


class Color(enum.StrEnum):
    RED = "red"


@dataclass
class Order:
    id: int
    lines: list[str]


class Point(TypedDict):
    x: float


class Struct(msgspec.Struct):
    n: int


class Context:
    """Stands for the package's own."""


NAMES = [
    (bool, "bool"),
    (int, "int64"),
    (float, "float64"),
    (str, "string"),
    (bytes, "[]byte"),
    (list[int], "[]int64"),
    (list[str], "[]string"),
    (collections.abc.Sequence[float], "[]float64"),
    (tuple[bool, ...], "[]bool"),
    (UserId, "int64"),
    (Annotated[int, "note"], "int64"),
    (Bool, "bool"),
    (Int, "int"),
    (Int8, "int8"),
    (Int16, "int16"),
    (Int32, "int32"),
    (Int64, "int64"),
    (UInt, "uint"),
    (UInt8, "uint8"),
    (UInt16, "uint16"),
    (UInt32, "uint32"),
    (UInt64, "uint64"),
    (Float32, "float32"),
    (Float64, "float64"),
    (list[Int8], "[]int8"),
    (list[UInt8], "[]uint8"),
    (list[Float32], "[]float32"),
    (Json[Order], "string"),
    (Json[dict[str, Any]], "string"),
    (list[Json[Order]], "[]string"),
]


@pytest.mark.parametrize(("annotation", "name"), NAMES, ids=[name for _, name in NAMES])
def test_names(annotation: Any, name: str) -> None:
    """Every annotation that Machinery has a type for."""
    assert name == type_for(annotation).name


REFUSED_ANNOTATIONS = [
    (list, "list[int]"),
    (tuple, "list[int]"),
    (dict[str, int], "Json[dict[str, int]]"),
    (Order, "Json[Order]"),
    (int | None, "never None"),
    (int | str, "one type"),
    (list[list[int]], "lists of single values only"),
    (list[bytes], "lists of single values only"),
    (tuple[int, str], "no type that Machinery has"),
    (set[int], "no type that Machinery has"),
    (complex, "no type that Machinery has"),
    (None, "no type that Machinery has"),
]


@pytest.mark.parametrize(("annotation", "advice"), REFUSED_ANNOTATIONS, ids=range(len(REFUSED_ANNOTATIONS)))
def test_annotations_without_a_type(annotation: Any, advice: str) -> None:
    """A TypeError that says what to write instead."""
    with pytest.raises(TypeError) as caught:
        type_for(annotation)
    assert advice in str(caught.value)


SENT = [
    (bool, True, True),
    (int, 1 << 62, 1 << 62),
    (int, -(1 << 63), -(1 << 63)),
    (Int8, -128, -128),
    (UInt64, (1 << 64) - 1, (1 << 64) - 1),
    (float, 3, 3.0),
    (float, 1.5, 1.5),
    (Float32, 0.1, 0.1),
    (Float32, 0.10000000149011612, 0.1),
    (Float32, 16777216, 16777216.0),
    (str, "", ""),
    (str, Color.RED, "red"),
    (bytes, bytearray(b"ab"), b"ab"),
    (list[int], [], []),
    (list[int], (1, 2), [1, 2]),
    (list[int], range(3), [0, 1, 2]),
    (list[float], [1, 2.5], [1.0, 2.5]),
    (list[UInt8], [1, 255], b"\x01\xff"),
    (list[UInt8], b"ab", b"ab"),
    (list[UInt16], b"ab", [97, 98]),
    (Json[Order], Order(1, ["a"]), '{"id":1,"lines":["a"]}'),
    (Json[Point], {"x": 1.5}, '{"x":1.5}'),
    (Json[Struct], Struct(2), '{"n":2}'),
    (Json[dict[str, Any]], {"a": [None, "é"]}, '{"a":[null,"é"]}'),
    (Json[list[int]], [1, 2], "[1,2]"),
    (list[Json[Struct]], [Struct(1)], ['{"n":1}']),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), SENT, ids=range(len(SENT)))
def test_values_that_fit(annotation: Any, value: Any, expected: Any) -> None:
    """What is sent, and in which Python type the codec gets it."""
    found = type_for(annotation).to_wire(value)
    assert (expected, type(expected)) == (found, type(found))


REFUSED = [
    (bool, 1, TypeError),
    (int, True, TypeError),
    (int, 1.5, TypeError),
    (int, 2.0, TypeError),
    (int, "5", TypeError),
    (int, None, TypeError),
    (int, 1 << 63, ValueError),
    (int, 1 << 100_000, ValueError),
    (Int8, 300, ValueError),
    (Int16, -32769, ValueError),
    (UInt64, -1, ValueError),
    (UInt8, 256, ValueError),
    (float, "1", TypeError),
    (float, True, TypeError),
    (float, math.nan, ValueError),
    (float, math.inf, ValueError),
    (float, (1 << 53) + 1, ValueError),
    (float, 1 << 2000, ValueError),
    (Float32, 3.5e38, ValueError),
    (str, b"a", TypeError),
    (str, 5, TypeError),
    (str, "\ud800", ValueError),
    (bytes, "a", TypeError),
    (bytes, [1], TypeError),
    (list[int], ["x"], TypeError),
    (list[int], [1, True], TypeError),
    (list[int], [1 << 63], ValueError),
    (list[int], "12", TypeError),
    (list[int], b"12", TypeError),
    (list[int], 5, TypeError),
    (list[int], {1}, TypeError),
    (list[int], None, TypeError),
    (list[str], "abc", TypeError),
    (list[UInt8], [256], ValueError),
    (list[float], [math.nan], ValueError),
    (Json[Order], {"id": "x", "lines": []}, TypeError),
    (Json[Order], Order("x", []), TypeError),  # type: ignore[arg-type]
    (Json[dict[str, Any]], {"a": math.nan}, ValueError),
    (Json[dict[str, Any]], {"a": [{"b": math.inf}]}, ValueError),
    (Json[dict[str, Any]], {"a": object()}, TypeError),
    (Json[dict[str, Any]], {"a": "\ud800"}, ValueError),
    (Json[int], "x", TypeError),
]


@pytest.mark.parametrize(("annotation", "value", "error"), REFUSED, ids=range(len(REFUSED)))
def test_values_that_do_not_fit(annotation: Any, value: Any, error: type[Exception]) -> None:
    """TypeError for a wrong kind, ValueError for a value out of range; the text is short."""
    with pytest.raises((TypeError, ValueError)) as caught:
        type_for(annotation).to_wire(value)
    assert error is caught.type
    assert len(str(caught.value)) < 300


def test_a_json_value_in_a_circle_is_refused() -> None:
    """A list that holds itself."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises((TypeError, ValueError), match="cannot be written as JSON"):
        type_for(Json[list[Any]]).to_wire(circle)


class Pydantic:
    """What pydantic's models have, without pydantic."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def model_validate_json(cls, text: str) -> Pydantic:
        return cls(text)

    def model_dump_json(self) -> str:
        return self.text


def test_pydantic_models_are_known_by_their_methods() -> None:
    """No import of pydantic is needed."""
    kind = type_for(Json[Pydantic])
    assert kind.to_wire(Pydantic("[1]")) == "[1]"
    assert kind.from_wire("[1]").text == "[1]"
    with pytest.raises(TypeError, match="must be Pydantic, not dict"):
        kind.to_wire({})


INFERRED = [
    (True, "bool"),
    (5, "int64"),
    ((1 << 64) - 1, "uint64"),
    (1.5, "float64"),
    ("a", "string"),
    (Color.RED, "string"),
    (b"a", "[]byte"),
    (bytearray(b"a"), "[]byte"),
    ([1, 2], "[]int64"),
    ([1, 1 << 63], "[]uint64"),
    ([1, 2.5], "[]float64"),
    (["a"], "[]string"),
    ((True,), "[]bool"),
    ([], "[]string"),
]


@pytest.mark.parametrize(("value", "name"), INFERRED, ids=range(len(INFERRED)))
def test_inferred_types(value: Any, name: str) -> None:
    """The type of a value that no annotation describes."""
    assert name == infer_type(value).name
    infer_type(value).to_wire(value)


@pytest.mark.parametrize("value", [None, {}, object(), [1, "a"], [[1]], [None], [b"a"], {1}])
def test_values_without_a_type(value: Any) -> None:
    """A TypeError that mentions Json."""
    with pytest.raises(TypeError, match="Json"):
        infer_type(value)


def add(*numbers: int) -> int:
    return sum(numbers)


def label(name: str, count: Int8 = 3, *rest: float) -> str:
    return f"{name}{count}{rest}"


def with_context(ctx: Context, number: int) -> None:
    del ctx, number


def bare(first, second=None):  # type: ignore[no-untyped-def]
    return first, second


def test_parameters() -> None:
    """Names, types, defaults and varargs as declared."""
    parameters = Parameters.of(label)
    assert [parameter.name for parameter in parameters.positional] == ["name", "count"]
    assert tuple(parameter.is_required for parameter in parameters.positional) == (True, False)
    assert (
        parameters.required,
        parameters.varargs and parameters.varargs.name,
        parameters.task_name,
    ) == (1, "rest", "label")


def test_a_context_does_not_travel() -> None:
    """It is found by its annotation and is no parameter of calls."""
    parameters = Parameters.of(with_context, context_class=Context)
    assert (True, [Arg("int64", 5)]) == (parameters.takes_context, parameters.bind((5,)))
    assert list(parameters.python_signature.parameters) == ["number"]


BOUND: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Arg]]] = [
    (add, (), {}, []),
    (add, (1, 2), {}, [Arg("int64", 1), Arg("int64", 2)]),
    (label, ("a",), {}, [Arg("string", "a"), Arg("int8", 3)]),
    (label, ("a", 1, 2, 2.5), {}, [Arg("string", "a"), Arg("int8", 1), Arg("float64", 2.0), Arg("float64", 2.5)]),
    (label, ("a",), {"count": 5}, [Arg("string", "a"), Arg("int8", 5)]),
    (label, (), {"count": 5, "name": "a"}, [Arg("string", "a"), Arg("int8", 5)]),
    (bare, (1, "b"), {}, [Arg("int64", 1), Arg("string", "b")]),
    (bare, (1,), {}, [Arg("int64", 1)]),
    (bare, (1, None), {}, [Arg("int64", 1)]),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "expected"), BOUND, ids=range(len(BOUND)))
def test_complete_calls(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], expected: list[Arg]) -> None:
    """Defaults are sent; only positions travel."""
    assert expected == Parameters.of(function).bind(args, kwargs)


def test_partial_calls() -> None:
    """Trailing arguments come later, as results; defaults are not filled in."""
    assert Parameters.of(label).bind_partial(()) == []
    assert [Arg("string", "a")] == Parameters.of(label).bind_partial(("a",))


BAD_CALLS: list[tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (label, (), {}, TypeError, "label() is missing the argument 'name'"),
    (label, (), {"count": 1}, TypeError, "label() is missing the argument 'name'"),
    (label, ("a",), {"name": "b"}, TypeError, "label() got 'name' twice"),
    (label, ("a",), {"size": 1}, TypeError, "label() has no parameter 'size'"),
    (with_context, (1, 2), {}, TypeError, "with_context() takes 1 argument(s), 2 were given"),
    (label, ("a", 300), {}, ValueError, "label() argument 2 (count): 300 does not fit int8 (-128 to 127)"),
    (add, (1, "x"), {}, TypeError, "add() argument 2 (numbers): must be an integer for int64, not str"),
    (bare, ({},), {}, TypeError, "bare() argument 1 (first): dict has no type"),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "error", "text"), BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_bad_calls(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], text: str
) -> None:
    """The error names task, argument and parameter."""
    with pytest.raises(error) as caught:
        Parameters.of(function, context_class=Context).bind(args, kwargs)
    assert error is caught.type
    assert str(caught.value).startswith(text)


def keyword_only(*, a: int) -> None: ...
def keywords(**a: int) -> None: ...
def unsupported(a: dict[str, int]) -> None: ...
def bad_default(a: Int8 = 300) -> None: ...
def none_default(a: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def late_context(a: int, ctx: Context) -> None: ...
def unknown_name(a: Nothing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


BAD_DECLARATIONS = [
    (keyword_only, "parameter 'a' is keyword-only"),
    (keywords, "parameter 'a' takes keywords"),
    (unsupported, "parameter 'a': dict[str, int] is no type that Machinery has"),
    (bad_default, "parameter 'a' has a default that cannot be sent: 300 does not fit int8"),
    (none_default, "parameter 'a' has a default that cannot be sent: must be an integer for int64, not None"),
    (late_context, "'ctx' must be the first parameter"),
    (unknown_name, "its annotations cannot be read: name 'Nothing' is not defined"),
]


@pytest.mark.parametrize(("function", "text"), BAD_DECLARATIONS, ids=range(len(BAD_DECLARATIONS)))
def test_declarations_that_cannot_travel(function: Any, text: str) -> None:
    """Refused when the task is declared, naming task and parameter."""
    with pytest.raises(TypeError) as caught:
        Parameters.of(function, context_class=Context)
    assert f"task {function.__name__}" in str(caught.value)
    assert text in str(caught.value)


def pieces(data: list[UInt8], raw: bytes, names: tuple[str, ...], order: Json[Order]) -> None:
    del data, raw, names, order


def test_what_a_worker_calls_with() -> None:
    """Wire arguments in the Python types that the annotations name."""
    args = [
        Arg("[]uint8", "YWI="),
        Arg("[]uint8", "YWI="),
        Arg("[]string", ["x"]),
        Arg("string", '{"id":1,"lines":[]}'),
    ]
    assert ([97, 98], b"ab", ("x",), Order(1, [])) == Parameters.of(pieces).values(args)


def test_a_worker_leaves_defaults_to_the_function() -> None:
    """A call with fewer arguments than parameters that have defaults is complete."""
    assert Parameters.of(label).values([Arg("string", "a")]) == ("a",)
    assert Parameters.of(add).values(None) == ()


def test_untyped_parameters_take_what_arrives() -> None:
    """Whatever Machinery can carry."""
    assert Parameters.of(bare).values([Arg("[]int64", [1]), Arg("float32", 2)]) == ([1], 2.0)


MISMATCHES: list[tuple[Any, list[Arg], str]] = [
    (label, [], "reflect: Call with too few input arguments"),
    (bare, [Arg("int64", 1)] * 3, "reflect: Call with too many input arguments"),
    (label, [Arg("int64", 1)], "reflect: Call using int64 as type string"),
    (label, [Arg("string", ""), Arg("int64", 1)], "reflect: Call using int64 as type int8"),
    (pieces, [Arg("[]uint8", ""), Arg("string", "")] * 2, "reflect: Call using string as type []uint8"),
    (add, [Arg("string", "")], "reflect: cannot use string as type int64 in Call"),
    (add, [Arg("int64", 1), Arg("[]byte", "")], "reflect: cannot use []uint8 as type int64 in Call"),
]


@pytest.mark.parametrize(("function", "args", "text"), MISMATCHES, ids=range(len(MISMATCHES)))
def test_calls_that_panic_in_go(function: Any, args: list[Arg], text: str) -> None:
    """The text of Go's panic, as an error of its own since it is retried."""
    with pytest.raises(CallMismatch) as caught:
        Parameters.of(function).values(args)
    assert text == str(caught.value)
    assert not isinstance(caught.value, ArgumentError)


def test_argument_errors_come_before_mismatches() -> None:
    """Go converts all arguments before it calls."""
    with pytest.raises(ArgumentError, match="Reflect task args error: x is not int64"):
        Parameters.of(label).values([Arg("int64", "x")])


def test_json_that_does_not_fit_its_model_is_an_argument_error() -> None:
    """Trying again would not help."""
    args = [Arg("[]uint8", ""), Arg("[]byte", ""), Arg("[]string", []), Arg("string", '{"id":"x"}')]
    with pytest.raises(ArgumentError, match="Reflect task args error: order does not fit Order"):
        Parameters.of(pieces).values(args)


def one() -> bytes: ...  # type: ignore[empty-body]
def two() -> tuple[str, Int8]: ...  # type: ignore[empty-body]
def nothing() -> None: ...
def slice_() -> tuple[int, ...]: ...  # type: ignore[empty-body]
def model() -> Json[Order]: ...  # type: ignore[empty-body]
def single() -> tuple[int]: ...  # type: ignore[empty-body]
def anything() -> Any: ...
def partly() -> tuple[int, Any]: ...  # type: ignore[empty-body]
async def later() -> int: ...  # type: ignore[empty-body]


RESULTS: list[tuple[Any, Any, list[TaskResult], Any]] = [
    (one, b"ab", [TaskResult("[]uint8", b"ab")], b"ab"),
    (two, ("a", 1), [TaskResult("string", "a"), TaskResult("int8", 1)], ("a", 1)),
    (nothing, None, [], None),
    (nothing, 5, [], None),
    (slice_, (1, 2), [TaskResult("[]int64", [1, 2])], (1, 2)),
    (model, Order(1, []), [TaskResult("string", '{"id":1,"lines":[]}')], Order(1, [])),
    (single, (1,), [TaskResult("int64", 1)], (1,)),
    (anything, None, [], None),
    (anything, "a", [TaskResult("string", "a")], "a"),
    (anything, (1, "a"), [TaskResult("int64", 1), TaskResult("string", "a")], (1, "a")),
    (bare, [1.5], [TaskResult("[]float64", [1.5])], [1.5]),
    (partly, (1, "x"), [TaskResult("int64", 1), TaskResult("string", "x")], (1, "x")),
    (later, 5, [TaskResult("int64", 5)], 5),
]


@pytest.mark.parametrize(("function", "value", "stored", "back"), RESULTS, ids=range(len(RESULTS)))
def test_results(function: Any, value: Any, stored: list[TaskResult], back: Any) -> None:
    """What a return value is stored as, and what a caller gets of that."""
    results = Results.of(function)
    assert stored == results.to_wire(value)
    assert back == results.from_wire(stored)


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (two, "ab", "two() must return a tuple of 2 values, not str"),
        (two, ("a",), "two() must return a tuple of 2 values, not a tuple of 1"),
        (two, ("a", 300), "two() result 2: 300 does not fit int8"),
        (one, (b"a",), "one() result 1: must be bytes, not tuple"),
        (one, None, "one() result 1: must be bytes, not None"),
        (later, 1.5, "later() result 1: must be an integer for int64, not float"),
        (anything, {"a": 1}, "anything() result 1: dict has no type that Machinery knows"),
    ],
)
def test_results_that_do_not_fit(function: Any, value: Any, text: str) -> None:
    """The error names the task and which result."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Results.of(function).to_wire(value)
    assert str(caught.value).startswith(text)


def test_result_names() -> None:
    """Go's reflected names, as far as they are known before the task has run."""
    functions = (one, two, nothing, anything, partly)
    assert [Results.of(f).names for f in functions] == [("[]uint8",), ("string", "int8"), (), None, ("int64", None)]


def test_a_return_annotation_without_a_type_is_refused() -> None:
    """When the task is declared."""

    def task() -> dict[str, int]: ...  # type: ignore[empty-body]

    with pytest.raises(TypeError, match=r"task task: its return annotation: .*Json\[dict\[str, int\]\]"):
        Results.of(task)


def test_results_of_a_foreign_task() -> None:
    """By their own types alone: None, one value, or a tuple."""
    assert None is plain_results([]) is plain_results(None)
    assert plain_results([TaskResult("[]uint8", "YWI=")]) == b"ab"
    assert plain_results([TaskResult("int64", 1), TaskResult("float64", 2)]) == (1, 2.0)


HAND_MADE: list[tuple[str, Any, Any]] = [
    ("int64", 5, 5),
    ("int64", Number("-0"), Number("-0")),
    ("float64", Number("1.50"), Number("1.50")),
    ("float32", 0.10000000149011612, 0.1),
    ("[]int64", None, None),
    ("[]byte", "YWI=", "YWI="),
    ("[]byte", b"ab", b"ab"),
    ("[]byte", [1, 2], b"\x01\x02"),
    ("[]uint8", [1, 2], b"\x01\x02"),
    ("[]uint16", b"ab", [97, 98]),
    ("[]float64", [Number("1.0"), 2.5], [Number("1.0"), 2.5]),
]


@pytest.mark.parametrize(("type_name", "value", "expected"), HAND_MADE, ids=range(len(HAND_MADE)))
def test_hand_made_arguments(type_name: str, value: Any, expected: Any) -> None:
    """A value by its type's name; what was decoded from the wire keeps its literals."""
    found = wire_value(type_name, value)
    assert (expected, type(expected)) == (found, type(found))


@pytest.mark.parametrize(
    ("type_name", "value", "error"),
    [
        ("int64", Number("1.0"), ValueError),
        ("int8", Number("3e2"), ValueError),
        ("int64", None, TypeError),
        ("[]byte", "x", ValueError),
        ("[]int64", {}, TypeError),
        ("[]int64", True, TypeError),
        ("[]int64", [Number("1.5")], ValueError),
        ("nope", 1, UnsupportedType),
    ],
)
def test_hand_made_arguments_that_do_not_fit(type_name: str, value: Any, error: type[Exception]) -> None:
    """Nothing gets onto the wire that a Go worker would stop at."""
    with pytest.raises(error):
        wire_value(type_name, value)


def test_unknown_type_names_are_gos_error() -> None:
    """Go: ErrUnsupportedType."""
    with pytest.raises(UnsupportedType, match="complex128 is not one of supported types"):
        type_named("complex128")
