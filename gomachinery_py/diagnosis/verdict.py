"""What becomes of a message: at a Go worker of either version, and here.

Go source: ``brokers/redis/redis.go`` (``consumeOne``), ``worker.go`` (``Process``, ``taskRetry``, ``taskSucceeded``,
``taskFailed``), ``retry/fibonacci.go``. Both versions do the same with one message; they differ in what a worker does
after an error, which is in ``costs``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from gomachinery_py.calls import CallMismatch, Parameters
from gomachinery_py.diagnosis.arguments import Outcome, call_mismatch, first_failure
from gomachinery_py.diagnosis.decoding import Decoding, decode
from gomachinery_py.errors import ArgumentError, WireError
from gomachinery_py.incoming import reject_reason
from gomachinery_py.wire import decode_signature, encode_signature
from gomachinery_py.wire.model import FAILURE, RETRY, SUCCESS, Signature
from gomachinery_py.wire.names import DEFAULT_QUEUE, DELAYED_TASKS_KEY, is_reserved_key
from gomachinery_py.wire.reflect import reflect_args

__all__ = [
    "NIL_POINTER",
    "Ending",
    "Kind",
    "Knowledge",
    "Verdict",
    "fibonacci_search_ends",
    "go_verdict",
    "our_verdict",
]

NIL_POINTER: Final = "runtime error: invalid memory address or nil pointer dereference"
_NOT_DELETED: Final = "task should not be deleted"
_UNWRITABLE: Final = (
    "Publish message error: JSON marshal error: json: error calling MarshalJSON for type *time.Time: Time.MarshalJSON: "
)
# Beyond the 92 Fibonacci numbers that fit, Go's sum wraps around; it then finds a number by luck or never.
_LONGEST_SEARCH: Final = 20_000


class Kind(StrEnum):
    """What becomes of a message."""

    ACCEPTED = "accepted"
    """The task function is called."""
    FAILURE = "failure"
    """The task ends in FAILURE, at once or after its retries, whatever the function would do."""
    UNREGISTERED = "unregistered"
    """No task has its name: it goes back to its queue."""
    DROPPED = "dropped"
    WORKER_ERROR = "worker error"
    """The worker returns an error to its broker, which ends its consumer."""
    KILLS = "kills the process"
    HANGS = "hangs"
    """One of the worker's goroutines is busy for ever."""
    REFUSED = "refused"
    """Ours alone: kept among the dead letters."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows when a task function has returned or failed."""

    state: str
    """That is stored: SUCCESS, RETRY or FAILURE."""
    kind: Kind = Kind.ACCEPTED
    """Of what comes after it: ACCEPTED when nothing does."""
    text: str = ""
    needs_group: bool = False
    """Whether ``kind`` and ``text``, the beginning of an error, hold only unless the group is stored."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message on one side."""

    kind: Kind
    text: str = ""
    """The exact text: of the FAILURE, the error or the panic."""
    retries: int = 0
    """Runs after the first, before a FAILURE."""
    ends_consumer: bool = False
    """Whether the worker's consumer ends by it, besides what ``kind`` says."""
    success: Ending | None = None
    failure: Ending | None = None
    """What follows a success and a failure of the function, when that is all that is open."""


def _reserved(name: str) -> bool:
    return name == DELAYED_TASKS_KEY or is_reserved_key(name)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known beyond the message.

    Args:
        tasks: by name, the parameters of all tasks that some worker has; None when that is not known.
        ours: the names of those that are run here; all of ``tasks`` when None.
        queues: the queues in use.
        is_reserved: whether a name is a key that is no queue.
    """

    tasks: Mapping[str, Parameters] | None = None
    ours: Collection[str] | None = None
    queues: Collection[str] = (DEFAULT_QUEUE,)
    is_reserved: Callable[[str], bool] = field(default=_reserved)

    def has(self, name: str) -> bool:
        """Whether a worker of Go's may have a task of this name."""
        return name != "" if self.tasks is None else name in self.tasks

    def runs(self, name: str) -> bool:
        """Whether the task is run here."""
        return self.has(name) and (self.ours is None or name in self.ours)

    def parameters(self, name: str) -> Parameters | None:
        """Those of a task, as far as they are known."""
        return None if self.tasks is None else self.tasks.get(name)


def go_verdict(data: bytes, known: Knowledge | None = None, decoding: Decoding | None = None) -> Verdict:
    """What a Go worker on Redis does with a message. ``decoding`` is the message's, where it is at hand."""
    known = known or Knowledge()
    if not data:
        return Verdict(Kind.DROPPED, "an empty message is passed over")
    decoding = decoding or decode(data)
    if decoding.error:
        return Verdict(Kind.WORKER_ERROR, decoding.error)
    signature = decode_signature(data)
    if not known.has(signature.name):
        return Verdict(Kind.DROPPED if signature.ignore_when_task_not_registered else Kind.UNREGISTERED)
    failed = first_failure(signature.args)
    if failed is not None:
        return _without_call(signature, *failed)
    parameters = known.parameters(signature.name)
    mismatch = "" if parameters is None else call_mismatch(signature.args, parameters)
    if mismatch:
        return _mismatched(signature, mismatch)
    return Verdict(Kind.ACCEPTED, success=_success(signature), failure=_failure(signature))


def _without_call(signature: Signature, outcome: Outcome, text: str) -> Verdict:
    if outcome is Outcome.PANIC:
        return Verdict(Kind.KILLS, text)
    if None in (signature.on_error or ()):
        return Verdict(Kind.KILLS, NIL_POINTER)
    return Verdict(Kind.FAILURE, f"Reflect task args error: {text}", ends_consumer=True)


def _mismatched(signature: Signature, text: str) -> Verdict:
    """The call's own panic is recovered, and is a failure as any other."""
    retries = 0
    ending = _failure(signature)
    if ending.state == RETRY and ending.kind is Kind.ACCEPTED:
        # So it goes until no retries are left.
        retries = signature.retry_count
        ending = _failure(replace(signature, retry_count=0))
    if ending.kind in (Kind.KILLS, Kind.HANGS) or ending.state == RETRY:
        return Verdict(ending.kind, ending.text, retries, failure=ending)
    return Verdict(Kind.FAILURE, text, retries, ending.kind is Kind.WORKER_ERROR, failure=ending)


def _success(signature: Signature) -> Ending:
    if None in (signature.on_success or ()):
        return Ending(SUCCESS, Kind.KILLS, NIL_POINTER)
    if signature.group_uuid and signature.chord_callback is not None:
        text = f"Completed check for group {signature.group_uuid} returned error: "
        return Ending(SUCCESS, Kind.WORKER_ERROR, text, needs_group=True)
    return Ending(SUCCESS)


def _failure(signature: Signature) -> Ending:
    if signature.retry_count > 0:
        if not fibonacci_search_ends(signature.retry_timeout):
            return Ending(RETRY, Kind.HANGS)
        try:
            encode_signature(replace(signature, eta=None))
        except WireError as error:
            # Nothing but a time can be read and not be written.
            return Ending(RETRY, Kind.WORKER_ERROR, f"{_UNWRITABLE}{error.reason.removeprefix('ETA: ')}")
        return Ending(RETRY)
    if None in (signature.on_error or ()):
        return Ending(FAILURE, Kind.KILLS, NIL_POINTER)
    if signature.stop_task_deletion_on_error:
        return Ending(FAILURE, Kind.WORKER_ERROR, _NOT_DELETED)
    return Ending(FAILURE)


def fibonacci_search_ends(start: int) -> bool:
    """Whether Go finds the next Fibonacci number above ``start`` in its 64 bits."""
    a, b = 1, 1
    for _ in range(_LONGEST_SEARCH):
        if a > start:
            return True
        a, b = b, ((a + b + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)
    return False


def our_verdict(data: bytes, known: Knowledge | None = None) -> Verdict:
    """What a worker of ours does with a message."""
    known = known or Knowledge()
    try:
        signature = decode_signature(data)
    except WireError as error:
        return Verdict(Kind.REFUSED, f"cannot be decoded: {error}")
    runs = known.runs(signature.name)
    reason = reject_reason(signature, data, known.is_reserved, known.queues, is_ours=runs)
    if reason is not None:
        return Verdict(Kind.REFUSED, reason)
    if not runs:
        return Verdict(Kind.DROPPED if signature.ignore_when_task_not_registered else Kind.UNREGISTERED)
    parameters = known.parameters(signature.name)
    try:
        if parameters is None:
            reflect_args(signature.args)
        else:
            parameters.values(signature.args)
    except ArgumentError as error:
        return Verdict(Kind.FAILURE, str(error))
    except CallMismatch as error:
        return Verdict(Kind.FAILURE, str(error), max(0, signature.retry_count))
    retried = RETRY if signature.retry_count > 0 else FAILURE
    return Verdict(Kind.ACCEPTED, success=Ending(SUCCESS), failure=Ending(retried))
