"""The contract of what a server declares, read from its functions' signatures."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gomachinery_py.annotations import MachineryType, infer_type
from gomachinery_py.calls import Parameter
from gomachinery_py.contracts.model import (
    ANY,
    REQUIRED,
    Contract,
    ContractError,
    ParameterContract,
    ResultContract,
    TaskContract,
)
from gomachinery_py.golang.json import Number, parse, write_value

if TYPE_CHECKING:
    from gomachinery_py.server import Server
    from gomachinery_py.task import Task

__all__ = ["contract_of", "remote_contract_of"]

_LONGEST_DOC = 500


def contract_of(server: Server, served_by: str = "") -> Contract:
    """The tasks that a server's workers run; ``served_by`` is what the service is called.

    Raises ContractError for what a contract cannot hold.
    """
    return Contract.of(_task(task, served_by) for task in server.tasks.values() if not task.remote)


def remote_contract_of(server: Server) -> Contract:
    """The tasks that a server has declared as served by others."""
    return Contract.of(_task(task, "") for task in server.tasks.values() if task.remote)


def _task(task: Task[Any, Any, Any], served_by: str) -> TaskContract:
    options, called, returned = task.defaults, task.parameters, task.results
    parameters = [_parameter(task.name, parameter) for parameter in called.positional]
    if called.varargs is not None:
        parameters.append(_parameter(task.name, called.varargs, variadic=True))
    return TaskContract(
        _text(task.name, task.name),
        tuple(parameters),
        None if returned.types is None else tuple(ResultContract(*_type(kind)) for kind in returned.types),
        queue=_text(options.routing_key or "", task.name),
        retries=options.retries or 0,
        retry_timeout=options.retry_timeout or 0,
        priority=options.priority or 0,
        ignore_when_not_registered=bool(options.ignore_when_not_registered),
        doc=_summary(task.function),
        served_by=served_by,
        place=_place(task.function),
    )


def _text(text: str, task: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ContractError(f"task {task!r}: a name holds a lone surrogate, which Go would replace") from None
    return text


def _type(kind: MachineryType | None) -> tuple[str, str | None]:
    return (ANY, None) if kind is None else (kind.name, kind.json_model)


def _parameter(task: str, parameter: Parameter, *, variadic: bool = False) -> ParameterContract:
    default: Any = REQUIRED
    if not parameter.is_required:
        default = _default(f"task {task}: parameter {parameter.name!r}", parameter.type, parameter.default)
    return ParameterContract(*_type(parameter.type), parameter.name, variadic, default)


def _default(where: str, kind: MachineryType | None, value: Any) -> Any:
    if kind is None:
        if value is None:
            return None
        if isinstance(value, float):
            # Without its fraction it would be taken for an integer.
            return Number(repr(value))
        if infer_type(value).name in ("[]byte", "[]uint8"):
            raise ContractError(
                f"{where}: its default is bytes, which a contract can hold only with the annotation bytes"
            )
    return parse(write_value((kind or infer_type(value)).to_wire(value)).encode())


def _summary(function: Callable[..., Any]) -> str:
    """The first paragraph of a docstring on one line."""
    doc = inspect.getdoc(function) if inspect.isroutine(function) else None
    text = " ".join((doc or "").strip().split("\n\n", 1)[0].split()).encode("utf-8", "replace").decode()
    return text if len(text) <= _LONGEST_DOC else f"{text[:_LONGEST_DOC]}…"


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return ""
    path = Path(code.co_filename)
    with_here = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    return f"{with_here}:{code.co_firstlineno}"
