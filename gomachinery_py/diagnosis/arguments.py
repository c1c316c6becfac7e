"""What Go makes of the arguments of a task: converted, refused with a text, or a panic that ends the process.

Go source: ``v2/tasks/reflect.go``, ``reflect/value.go`` (``Value.call``).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from gomachinery_py.calls import Parameters, reflected_name
from gomachinery_py.errors import ArgumentError
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import ELEMENTS, HarmRefused, reflect_value

__all__ = ["Conversion", "Outcome", "call_mismatch", "convert", "first_failure"]


class Outcome(StrEnum):
    """What becomes of one argument in Go."""

    FITS = "fits"
    CHANGES = "changes"
    """Go takes another value than was written, and says nothing."""
    ERROR = "error"
    PANIC = "panic"


class Conversion(NamedTuple):
    """``text`` is Go's own for an error or a panic, and ours for a change."""

    outcome: Outcome
    text: str = ""


_FITS = Conversion(Outcome.FITS)


def convert(arg: Arg) -> Conversion:
    """One argument (Go: ``ReflectValue``)."""
    panic = _panic(arg.type, arg.value)
    if panic:
        return Conversion(Outcome.PANIC, panic)
    try:
        reflect_value(arg.type, arg.value)
    except HarmRefused as refused:
        return Conversion(Outcome.CHANGES, str(refused))
    except ArgumentError as error:
        return Conversion(Outcome.ERROR, str(error))
    return _FITS


def _panic(type_name: str, value: Any) -> str:
    """Go asks anything that is not null for its length and its elements when a slice is wanted."""
    if type_name not in ELEMENTS:
        return ""
    if type(value) is bool:
        return "reflect: call of reflect.Value.Len on bool Value"
    if isinstance(value, dict) and value:
        return "reflect: call of reflect.Value.Index on map Value"
    return ""


def first_failure(args: Sequence[Arg] | None) -> Conversion | None:
    """Of the argument at which Go gives up; None when it takes all (Go: ``ReflectArgs``)."""
    for arg in args or ():
        conversion = convert(arg)
        if conversion.outcome in (Outcome.ERROR, Outcome.PANIC):
            return conversion
    return None


def call_mismatch(args: Sequence[Arg] | None, parameters: Parameters) -> str:
    """How Go's call of a function with these parameters panics; empty when it does not.

    A Go function has no defaults: each parameter is one argument.
    """
    given = args or ()
    positional = parameters.positional
    if len(given) < len(positional):
        return "reflect: Call with too few input arguments"
    if len(given) > len(positional) and parameters.varargs is None:
        return "reflect: Call with too many input arguments"
    for position, arg in enumerate(given):
        parameter = parameters.at(position)
        if parameter is None or parameter.type is None:
            continue
        has, wants = reflected_name(arg.type), parameter.type.reflected_name
        if has != wants:
            if position < len(positional):
                return f"reflect: Call using {has} as type {wants}"
            return f"reflect: cannot use {has} as type {wants} in Call"
    return ""
