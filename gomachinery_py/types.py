"""Machinery's types as Python annotations, and what a task function's annotations say.

================================  ======================  ==============================
annotation                        Machinery type          as a result
================================  ======================  ==============================
``int``                           ``int64``               ``int64``
``float``                         ``float64``             ``float64``
``bool``, ``str``                 ``bool``, ``string``    the same
``bytes``                         ``[]byte``              ``[]uint8``
``list[X]``, ``tuple[X, ...]``    ``[]X``                 ``[]X``
``Int8`` … ``Float32``            ``int8`` … ``float32``  the same
``Json[Model]``                   ``string``              ``string``
``-> tuple[X, Y]``                                        two results
``-> None``                                               none
none                              the value's own type    None: none; a tuple: several
================================  ======================  ==============================

A value that does not fit raises TypeError or ValueError at the call, before anything is sent: a Go worker would wrap
it silently, fail it for good, or stop consuming. Go source: ``v2/tasks/reflect.go``.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

from gomachinery_py.annotations import JSON, MachineryType, infer_type, type_for, type_named
from gomachinery_py.calls import CallMismatch, Parameter, Parameters, Results, plain_results

__all__ = [
    "Bool",
    "CallMismatch",
    "Float32",
    "Float64",
    "Int",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Json",
    "MachineryType",
    "Parameter",
    "Parameters",
    "Results",
    "UInt",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "infer_type",
    "plain_results",
    "type_for",
    "type_named",
]

T = TypeVar("T")

Bool: TypeAlias = Annotated[bool, type_named("bool")]
Int: TypeAlias = Annotated[int, type_named("int")]
Int8: TypeAlias = Annotated[int, type_named("int8")]
Int16: TypeAlias = Annotated[int, type_named("int16")]
Int32: TypeAlias = Annotated[int, type_named("int32")]
Int64: TypeAlias = Annotated[int, type_named("int64")]
UInt: TypeAlias = Annotated[int, type_named("uint")]
UInt8: TypeAlias = Annotated[int, type_named("uint8")]
UInt16: TypeAlias = Annotated[int, type_named("uint16")]
UInt32: TypeAlias = Annotated[int, type_named("uint32")]
UInt64: TypeAlias = Annotated[int, type_named("uint64")]
Float32: TypeAlias = Annotated[float, type_named("float32")]
Float64: TypeAlias = Annotated[float, type_named("float64")]

Json: TypeAlias = Annotated[T, JSON]
"""``Json[Model]``: a dataclass, TypedDict, msgspec.Struct, pydantic model, dict or list that travels as JSON text."""
