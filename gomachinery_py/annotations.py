"""Machinery's types as objects: what a Python value must be, how it goes onto the wire and comes back.

``type_for`` reads an annotation, ``type_named`` a Machinery type name, ``infer_type`` a value that nothing describes.
The public aliases are in ``types.py``. Go source: ``typesMap`` in ``v2/tasks/reflect.go``.
"""

from __future__ import annotations

import collections.abc
import math
import operator
import struct
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from gomachinery_py.errors import ArgumentError, UnsupportedType
from gomachinery_py.golang.json import Number, float32_text, float64_text
from gomachinery_py.wire.reflect import RANGES, TYPE_NAMES, reflect_value

__all__ = ["JSON", "MachineryType", "infer_type", "type_for", "type_named", "wire_value"]


class MachineryType(ABC):
    """One of Machinery's argument types. ``name`` is what ``Arg.type`` holds."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def reflected_name(self) -> str:
        """The name that Go gives a result of this type: ``[]byte`` is ``[]uint8``."""
        return "[]uint8" if self.name == "[]byte" else self.name

    @property
    def json_model(self) -> str | None:
        """What its text holds as JSON, by the name of the annotation; None when it is no JSON text."""
        return None

    @abstractmethod
    def to_wire(self, value: Any) -> Any:
        """The value as JSON carries it. Raises TypeError for a wrong kind, ValueError for a value out of range."""

    def from_wire(self, value: Any) -> Any:
        """A value of :func:`~gomachinery_py.wire.reflect.reflect_value` as the annotation wants it."""
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _brief(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


class _Bool(MachineryType):
    __slots__ = ()

    def to_wire(self, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        raise TypeError(f"must be bool, not {_kind(value)}")


class _Int(MachineryType):
    __slots__ = ("high", "low")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.low, self.high = RANGES[name]

    def to_wire(self, value: Any) -> Any:
        if type(value) is not int:
            if isinstance(value, bool):
                raise TypeError(f"must be an integer for {self.name}, not bool")
            try:
                value = operator.index(value)
            except TypeError:
                raise TypeError(f"must be an integer for {self.name}, not {_kind(value)}") from None
        if self.holds(value, value):
            return value
        raise ValueError(f"{_brief(value)} does not fit {self.name} ({self.low} to {self.high})")

    def holds(self, lowest: int, highest: int) -> bool:
        return self.low <= lowest and highest <= self.high


class _Float(MachineryType):
    __slots__ = ()

    def to_wire(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise TypeError(f"must be a number for {self.name}, not {_kind(value)}")
        number = self._exact(value) if isinstance(value, int) else float(value)
        if not math.isfinite(number):
            raise ValueError(f"{number} cannot be sent: JSON has no such number")
        return self._rounded(number)

    def _exact(self, value: int) -> float:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if number != value:
            raise ValueError(f"{_brief(value)} cannot be held exactly by {self.name}")
        return number

    def _rounded(self, number: float) -> Any:
        return number


class _Float32(_Float):
    __slots__ = ()

    def _rounded(self, number: float) -> Any:
        try:
            rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            raise ValueError(f"{number!r} does not fit float32") from None
        text = float32_text(rounded)
        shortest = float(text)
        return shortest if float64_text(shortest) == text else Number(text)


class _String(MachineryType):
    __slots__ = ()

    def to_wire(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"must be str, not {_kind(value)}")
        text = value if type(value) is str else str.__str__(value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"holds a lone surrogate at index {error.start}, which Go would replace") from None
        return text


class _Bytes(MachineryType):
    __slots__ = ()

    def to_wire(self, value: Any) -> Any:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise TypeError(f"must be bytes, not {_kind(value)}")


class _Slice(MachineryType):
    """A list of one scalar type; Python sees ``container``."""

    __slots__ = ("container", "element")

    def __init__(self, element: MachineryType, container: type[Any] = list) -> None:
        super().__init__(f"[]{element.name}")
        self.element = element
        self.container = container

    @property
    def json_model(self) -> str | None:
        return self.element.json_model

    def to_wire(self, value: Any) -> Any:
        element = self.element
        if isinstance(value, bytes | bytearray | memoryview) and element.name.startswith("uint"):
            value = list(bytes(value))
        elif isinstance(value, str | bytes | bytearray | memoryview) or not isinstance(value, Sequence):
            raise TypeError(f"must be a list for {self.name}, not {_kind(value)}")
        # One look at the whole list instead of one at each element.
        if isinstance(element, _Int) and set(map(type, value)) == {int} and element.holds(min(value), max(value)):
            return bytes(value) if element.name == "uint8" else list(value)
        converted = []
        for index, item in enumerate(value):
            try:
                converted.append(element.to_wire(item))
            except (TypeError, ValueError) as error:
                raise type(error)(f"item {index}: {error}") from None
        return bytes(converted) if element.name == "uint8" else converted

    def from_wire(self, value: Any) -> Any:
        if isinstance(self.element, _Json):
            return self.container(self.element.from_wire(item) for item in value)
        return value if type(value) is self.container else self.container(value)


class _Json(MachineryType):
    """Anything that JSON can hold, travelling as a ``string``."""

    __slots__ = ("_decoder", "model")

    def __init__(self, model: Any) -> None:
        super().__init__("string")
        self.model = model
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if not _is_pydantic(model):
            try:
                self._decoder = msgspec.json.Decoder(model)
            except TypeError as error:
                raise TypeError(f"Json[{_shown(model)}] cannot be read or written: {error}") from None

    @property
    def json_model(self) -> str | None:
        return _shown(self.model)

    def to_wire(self, value: Any) -> Any:
        if self._decoder is None:
            if not isinstance(value, self.model):
                raise TypeError(f"must be {_shown(self.model)}, not {_kind(value)}")
            return str(value.model_dump_json())
        try:
            encoded = msgspec.json.encode(value)
            # What does not fit the model here would not fit it at the other end.
            self._decoder.decode(encoded)
        except msgspec.ValidationError as error:
            raise TypeError(f"does not fit {_shown(self.model)}: {error}") from None
        except (TypeError, OverflowError, RecursionError) as error:
            raise TypeError(f"cannot be written as JSON: {error}") from None
        except (ValueError, msgspec.MsgspecError) as error:
            raise ValueError(f"cannot be written as JSON: {error}") from None
        if b"null" in encoded:
            # msgspec writes NaN and infinities as null.
            _refuse_nan(msgspec.to_builtins(value))
        return encoded.decode()

    def from_wire(self, value: Any) -> Any:
        if self._decoder is None:
            return self.model.model_validate_json(value)
        try:
            return self._decoder.decode(value)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"does not fit {_shown(self.model)}: {error}") from None


def _is_pydantic(model: Any) -> bool:
    return isinstance(model, type) and hasattr(model, "model_validate_json") and hasattr(model, "model_dump_json")


def _refuse_nan(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be sent: JSON has no such number")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_nan(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_nan(item)


class _JsonMark:
    """Stands in ``Json[Model]`` until the model is known."""

    def __repr__(self) -> str:
        return "Json"


JSON: Final = _JsonMark()

_NAMED: Final[dict[str, MachineryType]] = {
    "bool": _Bool("bool"),
    "string": _String("string"),
    "float32": _Float32("float32"),
    "float64": _Float("float64"),
    **{name: _Int(name) for name in RANGES},
}
_NAMED.update({f"[]{name}": _Slice(scalar) for name, scalar in list(_NAMED.items())})
_NAMED["[]byte"] = _Bytes("[]byte")

_DEFAULTS: Final[dict[Any, MachineryType]] = {
    bool: _NAMED["bool"],
    int: _NAMED["int64"],
    float: _NAMED["float64"],
    str: _NAMED["string"],
    bytes: _NAMED["[]byte"],
}
_LISTS: Final = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection)


def type_named(name: str) -> MachineryType:
    """The type that Machinery calls ``name``. Raises UnsupportedType (Go: ``ErrUnsupportedType``)."""
    if name not in TYPE_NAMES:
        raise UnsupportedType(name)
    return _NAMED[name]


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def type_for(annotation: Any) -> MachineryType:
    """The Machinery type of an annotation. Raises TypeError that says what to write instead."""
    for kind, found in _DEFAULTS.items():
        if annotation is kind:
            return found
    if isinstance(annotation, typing.NewType):
        return type_for(annotation.__supertype__)
    if hasattr(annotation, "__value__") and hasattr(annotation, "__type_params__"):
        return type_for(annotation.__value__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for mark in arguments[1:]:
            if isinstance(mark, MachineryType):
                return mark
            if mark is JSON:
                model = arguments[0]
                return _Json(Any if isinstance(model, typing.TypeVar) else model)
        return type_for(arguments[0])
    if origin in _LISTS and len(arguments) == 1:
        return _slice_of(arguments[0], list, annotation)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _slice_of(arguments[0], tuple, annotation)
    raise TypeError(f"{_shown(annotation)} is no type that Machinery has; {_advice(annotation, origin)}")


def _slice_of(element: Any, container: type[Any], annotation: Any) -> MachineryType:
    item = type_for(element)
    if item.name.startswith("[]"):
        raise TypeError(f"{_shown(annotation)} is no type that Machinery has: it knows lists of single values only")
    return _Slice(item, container)


def _advice(annotation: Any, origin: Any) -> str:
    if annotation in (list, tuple) or annotation in _LISTS:
        return "say what is in it, such as list[int]"
    if origin in (typing.Union, types.UnionType):
        return "a parameter has one type and is never None; leave it without an annotation to take any"
    return (
        "use bool, int, float, str, bytes, a list of these, the types in gomachinery_py.types, "
        f"or Json[{_shown(annotation)}] to send it as JSON text"
    )


def infer_type(value: Any) -> MachineryType:
    """The type for a value that nothing describes. Raises TypeError when Machinery has none."""
    for kind, found in _DEFAULTS.items():
        if type(value) is kind:
            if kind is int and value > RANGES["int64"][1]:
                return _NAMED["uint64"]
            return found
    if isinstance(value, list | tuple):
        return _infer_slice(value)
    for kind, found in _DEFAULTS.items():
        if isinstance(value, kind):
            return found
    if isinstance(value, bytearray | memoryview):
        return _NAMED["[]byte"]
    raise TypeError(
        f"{_kind(value)} has no type that Machinery knows; use bool, int, float, str, bytes or a list of these, "
        "or annotate with Json[...] to send it as JSON text"
    )


def _infer_slice(value: Sequence[Any]) -> MachineryType:
    names = {infer_type(item).name for item in value}
    if not names:
        return _NAMED["[]string"]
    if names == {"int64", "uint64"} and min(value) >= 0:
        names = {"uint64"}
    elif "float64" in names and names <= {"float64", "int64", "uint64"}:
        names = {"float64"}
    if len(names) > 1 or any(name.startswith("[]") for name in names):
        raise TypeError(
            f"a list of {', '.join(sorted(names))} has no type that Machinery knows; all items must be of one "
            "single type, or annotate with Json[...] to send it as JSON text"
        )
    return _NAMED[f"[]{names.pop()}"]


def wire_value(type_name: str, value: Any) -> Any:
    """``value`` of a hand-made Arg in the form that is sent; also takes what was decoded from the wire.

    Raises UnsupportedType, TypeError or ValueError.
    """
    kind = type_named(type_name)
    if type_name.startswith("[]"):
        if value is None:
            return None
        if isinstance(value, str) and not isinstance(value, Number) and type_name.startswith(("[]uint", "[]byte")):
            return _decoded(type_name, value)
        if isinstance(value, list | tuple) and any(isinstance(item, Number) for item in value):
            return _decoded(type_name, list(value))
    elif isinstance(value, Number):
        return _decoded(type_name, value)
    if isinstance(kind, _Bytes) and isinstance(value, list | tuple):
        return _NAMED["[]uint8"].to_wire(value)
    return kind.to_wire(value)


def _decoded(type_name: str, value: Any) -> Any:
    try:
        reflect_value(type_name, value)
    except ArgumentError as error:
        raise ValueError(str(error)) from None
    return value
