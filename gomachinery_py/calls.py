"""What a task function takes and gives, read from its annotations.

:class:`Parameters` turns Python calls into wire arguments and back, :class:`Results` return values into results and
back. Go source: ``v2/tasks/task.go`` (``ReflectArgs``, ``Call``); the texts of :class:`CallMismatch` are those with
which Go's ``reflect.Value.Call`` panics.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_origin

from gomachinery_py.annotations import MachineryType, infer_type, type_for, type_named
from gomachinery_py.errors import ArgumentError, MachineryError
from gomachinery_py.wire.model import Arg, TaskResult
from gomachinery_py.wire.reflect import reflect_args, reflect_value

__all__ = ["CallMismatch", "Parameter", "Parameters", "Results", "plain_results", "reflected_name"]


class CallMismatch(MachineryError, TypeError):
    """Arguments of the wrong number or type: in Go the call panics, so it is retried as a panic is."""


REQUIRED: Final = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``type`` is None when it takes any value, ``default`` is :data:`REQUIRED` when it has none."""

    name: str
    type: MachineryType | None
    default: Any = REQUIRED

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one task that travel; a leading ``Context`` is not among them."""

    task_name: str
    positional: tuple[Parameter, ...]
    varargs: Parameter | None = None
    takes_context: bool = False
    #: Python's own view of the same parameters, for calls with keywords.
    python_signature: inspect.Signature = field(default_factory=inspect.Signature, repr=False, compare=False)
    # The types of arguments that need no second look: one for each parameter, values as they are reflected.
    _as_they_are: list[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = [parameter.type for parameter in self.positional]
        names = [kind.name for kind in kinds if kind is not None and kind is type_named(kind.name)]
        if len(names) == len(kinds) and all(name == reflected_name(name) for name in names):
            object.__setattr__(self, "_as_they_are", names)

    @classmethod
    def of(
        cls, function: Callable[..., Any], *, name: str | None = None, context_class: type | None = None
    ) -> Parameters:
        """Read a function's parameters; ``context_class`` marks a leading parameter that does not travel.

        Raises TypeError for what cannot be a task: keyword-only parameters, ``**kwargs``, annotations that no
        Machinery type has, defaults that do not fit.
        """
        task_name = name or _name_of(function)
        hints = _hints(function, task_name)
        positional: list[Parameter] = []
        varargs: Parameter | None = None
        takes_context = False
        signature = inspect.signature(function)
        travelling: list[inspect.Parameter] = []
        for index, parameter in enumerate(signature.parameters.values()):
            annotation = hints.get(parameter.name, REQUIRED)
            if context_class and isinstance(annotation, type) and issubclass(annotation, context_class):
                if index:
                    raise TypeError(f"task {task_name}: {parameter.name!r} must be the first parameter")
                takes_context = True
                continue
            found = _parameter(task_name, parameter, annotation)
            travelling.append(parameter)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                varargs = found
            else:
                positional.append(found)
        signature = signature.replace(parameters=travelling)
        return cls(task_name, tuple(positional), varargs, takes_context, signature)

    # -- sending --

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> list[Arg]:
        """The wire arguments of a complete call, defaults included. Raises TypeError or ValueError."""
        values = self._placed(args, kwargs or {})
        for parameter in self.positional[len(values) :]:
            if parameter.is_required:
                raise TypeError(f"{self.task_name}() is missing the argument {parameter.name!r}")
            values.append(parameter.default)
        while values and values[-1] is None and self._has_default_none(len(values) - 1):
            # None has no type on the wire; left out, the function's own default applies.
            values.pop()
        return self._wire(values)

    def _has_default_none(self, index: int) -> bool:
        parameter = self.at(index)
        return parameter is not None and parameter.type is None and parameter.default is None

    def bind_partial(self, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> list[Arg]:
        """The wire arguments of a call whose trailing ones come later, as results. Raises TypeError or ValueError.

        Arguments that fit only behind a leading ``str`` are those of an error callback: Machinery puts the error's
        text before them.
        """
        values = self._placed(args, kwargs or {})
        try:
            return self._wire(values)
        except (TypeError, ValueError):
            first = self.positional[0] if self.positional else None
            if kwargs or first is None or first.type is None or first.type.name != "string":
                raise
            try:
                return self._wire(values, first=1)
            except (TypeError, ValueError, AssertionError):
                pass
            raise

    def _placed(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        values = list(args)
        if len(values) > len(self.positional) and self.varargs is None:
            raise TypeError(f"{self.task_name}() takes {len(self.positional)} argument(s), {len(values)} were given")
        if not kwargs:
            return values
        names = [parameter.name for parameter in self.positional]
        for name in kwargs:
            if name not in names:
                raise TypeError(f"{self.task_name}() has no parameter {name!r}")
            if names.index(name) < len(values):
                raise TypeError(f"{self.task_name}() got {name!r} twice")
        last = max(names.index(name) for name in kwargs)
        for parameter in self.positional[len(args) : last + 1]:
            if parameter.name not in kwargs and parameter.is_required:
                raise TypeError(f"{self.task_name}() is missing the argument {parameter.name!r}")
            values.append(kwargs.get(parameter.name, parameter.default))
        return values

    def _wire(self, values: Sequence[Any], first: int = 0) -> list[Arg]:
        arguments = []
        for index, value in enumerate(values, start=first):
            parameter = self.at(index)
            assert parameter is not None
            try:
                kind = parameter.type or infer_type(value)
                arguments.append(Arg(kind.name, kind.to_wire(value)))
            except (TypeError, ValueError) as error:
                kind_of_error = ValueError if isinstance(error, ValueError) else TypeError
                where = f"{self.task_name}() argument {index + 1} ({parameter.name})"
                raise kind_of_error(f"{where}: {error}") from None
        return arguments

    def at(self, index: int) -> Parameter | None:
        """The parameter that takes the argument at this place."""
        return self.positional[index] if index < len(self.positional) else self.varargs

    @property
    def required(self) -> int:
        """How many arguments a call must have."""
        return sum(parameter.is_required for parameter in self.positional)

    # -- working --

    def values(self, args: Sequence[Arg] | None) -> tuple[Any, ...]:
        """What the function is called with.

        Raises ArgumentError (FAILURE at once) for values that do not fit their types, CallMismatch (retried) when the
        function takes other arguments than these.
        """
        args = args or ()
        values = reflect_args(args)
        if [arg.type for arg in args] == self._as_they_are:
            return tuple(values)
        if len(values) < self.required:
            raise CallMismatch("reflect: Call with too few input arguments")
        if len(values) > len(self.positional) and self.varargs is None:
            raise CallMismatch("reflect: Call with too many input arguments")
        for index, arg in enumerate(args):
            parameter = self.at(index)
            if parameter is None or parameter.type is None:
                continue
            wanted, given = parameter.type.reflected_name, reflected_name(arg.type)
            if wanted != given:
                if index < len(self.positional):
                    raise CallMismatch(f"reflect: Call using {given} as type {wanted}")
                raise CallMismatch(f"reflect: cannot use {given} as type {wanted} in Call")
            try:
                values[index] = parameter.type.from_wire(values[index])
            except ValueError as error:
                raise ArgumentError(f"Reflect task args error: {parameter.name} {error}") from None
        return tuple(values)

    def refusal(self, given: int, appended: Sequence[str | None]) -> str | None:
        """Why a call of ``given`` arguments cannot take these results after them; None when it can.

        ``appended`` are Go's reflected type names; None among them is a result of unknown type.
        """
        total = given + len(appended)
        if total < self.required:
            missing = self.positional[total].name
            return f"{self.task_name}() would get {total} argument(s) and miss {missing!r}"
        if total > len(self.positional) and self.varargs is None:
            return f"{self.task_name}() takes {len(self.positional)} argument(s) and would get {total}"
        for index, name in enumerate(appended, start=given):
            parameter = self.at(index)
            if name is None or parameter is None or parameter.type is None:
                continue
            if parameter.type.reflected_name != name:
                return (
                    f"{self.task_name}() takes {parameter.type.name} for {parameter.name!r} "
                    f"(argument {index + 1}) and would get {name}"
                )
        return None


@dataclass(frozen=True, slots=True)
class Results:
    """What one task returns; ``types`` is None when only its values tell, None in it is a result of any type."""

    task_name: str
    types: tuple[MachineryType | None, ...] | None
    is_tuple: bool = False
    # The type of the one result, if it is one of Machinery's names as it is.
    _only: MachineryType | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.types is not None and len(self.types) == 1 and not self.is_tuple:
            (kind,) = self.types
            object.__setattr__(self, "_only", kind if kind is not None and kind.name == kind.reflected_name else None)

    @classmethod
    def of(cls, function: Callable[..., Any], *, name: str | None = None) -> Results:
        """Read a function's return annotation. Raises TypeError when no Machinery type has it."""
        task_name = name or _name_of(function)
        hints = _hints(function, task_name)
        if "return" not in hints or hints["return"] is Any:
            return cls(task_name, None)
        annotation = hints["return"]
        if annotation in (type(None), typing.NoReturn, typing.Never):
            return cls(task_name, ())
        arguments = get_args(annotation)
        several = get_origin(annotation) is tuple and Ellipsis not in arguments
        wanted = arguments if several else (annotation,)
        try:
            kinds = tuple(None if item is Any else type_for(item) for item in wanted)
        except TypeError as error:
            raise TypeError(f"task {task_name}: its return annotation: {error}") from None
        return cls(task_name, kinds, several)

    @property
    def names(self) -> tuple[str | None, ...] | None:
        """Go's reflected names of the results' types, as far as they are known."""
        if self.types is None:
            return None
        return tuple(None if kind is None else kind.reflected_name for kind in self.types)

    def to_wire(self, value: Any) -> list[TaskResult]:
        """What a return value is stored as. Raises TypeError or ValueError when it does not fit."""
        if self._only is not None:
            try:
                return [TaskResult(self._only.name, self._only.to_wire(value))]
            except (TypeError, ValueError):
                # Said below, with the place of the result.
                pass
        if self.types is None:
            values = () if value is None else value if isinstance(value, tuple) else (value,)
            kinds: Sequence[MachineryType | None] = (None,) * len(values)
        elif not self.types:
            return []
        else:
            kinds = self.types
            values = value if self.is_tuple else (value,)
            if not isinstance(values, tuple) or len(values) != len(kinds):
                raise TypeError(
                    f"{self.task_name}() must return a tuple of {len(kinds)} values, not {_described(value)}"
                )
        results = []
        for index, (kind, item) in enumerate(zip(kinds, values, strict=True)):
            try:
                found = kind or infer_type(item)
                results.append(TaskResult(found.reflected_name, found.to_wire(item)))
            except (TypeError, ValueError) as error:
                kind_of_error = ValueError if isinstance(error, ValueError) else TypeError
                raise kind_of_error(f"{self.task_name}() result {index + 1}: {error}") from None
        return results

    def from_wire(self, results: Sequence[TaskResult] | None) -> Any:
        """Stored results as the function's caller gets them, ``Json[...]`` decoded: None, one value, or a tuple.

        Raises ArgumentError or ValueError.
        """
        values = []
        for index, result in enumerate(results or ()):
            value = reflect_value(result.type, result.value)
            kind = self.types[index] if self.types is not None and index < len(self.types) else None
            if kind is not None and kind.reflected_name == reflected_name(result.type):
                value = kind.from_wire(value)
            values.append(value)
        return tuple(values) if self.is_tuple else _collapsed(values)


def plain_results(results: Sequence[TaskResult] | None) -> Any:
    """Stored results by their own types alone: None, one value, or a tuple. Raises ArgumentError."""
    return _collapsed([reflect_value(result.type, result.value) for result in results or ()])


def _collapsed(values: Sequence[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return tuple(values) if values else None


def _described(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def reflected_name(type_name: str) -> str:
    """Go's own name of a type: ``[]byte`` is ``[]uint8``."""
    return "[]uint8" if type_name == "[]byte" else type_name


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _hints(function: Callable[..., Any], task_name: str) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"task {task_name}: its annotations cannot be read: {error}; import the name at run time"
        ) from None


def _parameter(task_name: str, parameter: inspect.Parameter, annotation: Any) -> Parameter:
    where = f"task {task_name}: parameter {parameter.name!r}"
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        raise TypeError(f"{where} is keyword-only, but Machinery's arguments have no names; make it positional")
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise TypeError(f"{where} takes keywords, but Machinery's arguments have no names; remove it")
    try:
        kind = None if annotation in (REQUIRED, Any) else type_for(annotation)
    except TypeError as error:
        raise TypeError(f"{where}: {error}") from None
    if parameter.default is not REQUIRED and not (kind is None and parameter.default is None):
        try:
            (kind or infer_type(parameter.default)).to_wire(parameter.default)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{where} has a default that cannot be sent: {error}") from None
    return Parameter(parameter.name, kind, parameter.default)
