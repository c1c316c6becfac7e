"""What Machinery stores: data to bytes and back, byte for byte as Go does it."""

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import Number
from gomachinery_py.wire import names
from gomachinery_py.wire.encode import encode_group_meta, encode_signature, encode_task_state
from gomachinery_py.wire.fast import decode_group_meta, decode_signature, decode_task_state
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = [
    "Arg",
    "GroupMeta",
    "Number",
    "Signature",
    "TaskResult",
    "TaskState",
    "WireError",
    "decode_group_meta",
    "decode_signature",
    "decode_task_state",
    "encode_group_meta",
    "encode_signature",
    "encode_task_state",
    "names",
]
