"""The Python side of Go Machinery."""

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
