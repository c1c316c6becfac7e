"""The Python side of Go Machinery.

Names are imported when they are first used, so that probes and tools that need few of them start at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gomachinery_py import wire
    from gomachinery_py.config import Config
    from gomachinery_py.context import Context, current_signature
    from gomachinery_py.errors import ResultTimeout, RetryTaskLater, TaskFailed
    from gomachinery_py.results import AsyncResult
    from gomachinery_py.server import Server
    from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskState
    from gomachinery_py.workflow import Chain, Chord, Group

__all__ = [
    "Arg",
    "AsyncResult",
    "Chain",
    "Chord",
    "Config",
    "Context",
    "Group",
    "GroupMeta",
    "ResultTimeout",
    "RetryTaskLater",
    "Server",
    "Signature",
    "TaskFailed",
    "TaskState",
    "current_signature",
    "wire",
]

_HOMES = {
    "config": ("Config",),
    "context": ("Context", "current_signature"),
    "errors": ("ResultTimeout", "RetryTaskLater", "TaskFailed"),
    "results": ("AsyncResult",),
    "server": ("Server",),
    "wire.model": ("Arg", "GroupMeta", "Signature", "TaskState"),
    "workflow": ("Chain", "Chord", "Group"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "wire":
        return importlib.import_module("gomachinery_py.wire")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
