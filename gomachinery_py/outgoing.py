"""What may be sent: everything that could stop, kill or confuse a worker is refused before anything is written.

Go's producer sends all of this and its workers pay for it: an argument error makes a v2 Redis worker stop consuming
for good, a null callback ends the process, a UUID that is a queue's name destroys that queue. What a worker of ours
refuses on arrival is in ``incoming.py``. Go sources: ``v2/tasks/signature.go``, ``taskSucceeded`` in ``v2/worker.go``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from gomachinery_py.annotations import wire_value
from gomachinery_py.calls import reflected_name
from gomachinery_py.errors import SignatureError, UnsupportedType
from gomachinery_py.golang.json import Number
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import MAX_ARGUMENTS, MAX_BODY_BYTES, MAX_RETRY_TIMEOUT, brief
from gomachinery_py.wire.model import Arg, Signature

__all__ = [
    "MAX_ARGUMENTS",
    "MAX_BODY_BYTES",
    "MAX_NESTING",
    "MAX_RETRIES",
    "MAX_RETRY_TIMEOUT",
    "MAX_SIGNATURES",
    "Limits",
    "check_body",
    "check_signature",
]

MAX_NESTING: Final = 10_000
"""JSON levels that Go decodes (Go: ``maxNestingDepth`` in ``encoding/json``); one more ends a Go consumer."""
MAX_SIGNATURES: Final = 10_000
"""Signatures in one task, callbacks of callbacks included."""
MAX_RETRIES: Final = 1_000_000
_LAST_NS: Final = (1 << 63) - 1  # 2262-04-11: a delayed task's score is its ETA in int64 nanoseconds
_MAX_COUNT: Final = (1 << 31) - 1


def _nothing_reserved(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the services at hand allow.

    Args:
        reserved: names of queues and keys that no UUID may be.
        is_reserved: the same as a question, for names by pattern.
        results_expire_in: seconds that group members' states are kept.
        now_ns: unix nanoseconds.
        broker_is_amqp: header values must be text, or a Go worker's retry fails and the task is lost.
    """

    reserved: frozenset[str] = frozenset()
    is_reserved: Callable[[str], bool] = _nothing_reserved
    results_expire_in: int = 3600
    broker_is_sqs: bool = False
    broker_is_amqp: bool = False
    backend_is_null: bool = False
    now_ns: int = 0


def check_body(signature: Signature, body: bytes) -> bytes:
    """Refuse an encoded signature that is too large; returns ``body``. Raises SignatureError."""
    if len(body) > MAX_BODY_BYTES:
        raise SignatureError(
            f"task {brief(signature.name)} has {len(body)} bytes, {MAX_BODY_BYTES} at most may be sent; "
            "store the data elsewhere and send where it is"
        )
    return body


def check_signature(signature: Signature, limits: Limits, *, in_group: bool = False) -> Signature:
    """A deep copy that is safe to send, its values in their wire form; ``signature`` itself stays as it is.

    ``in_group`` is set for members of a group or chord that is being sent. Raises SignatureError (UnsupportedType for
    a type that Machinery has not), TypeError or ValueError, each naming the task and the field.
    """
    return _Walk(limits, in_group).copied(signature)


Role = Literal["root", "OnSuccess", "OnError", "ChordCallback"]


class _Walk:
    """One signature and everything below it, without recursion: a chain may be thousands of tasks deep."""

    def __init__(self, limits: Limits, in_group: bool) -> None:
        self.limits = limits
        self.in_group = in_group
        self.count = 0
        self.uuids: dict[str, str] = {}
        self.queues: set[str] = set()

    def copied(self, signature: Signature) -> Signature:
        root = self.checked(signature, "root", None, 0)
        on_path = {id(signature)}
        stack = [(signature, self.children(signature, root, 0))]
        while stack:
            parent, children = stack[-1]
            found = next(children, None)
            if found is None:
                stack.pop()
                on_path.discard(id(parent))
                continue
            child, role, base, attach = found
            if id(child) in on_path:
                raise SignatureError(
                    f"task {brief(parent.name)}: {role} leads back to {brief(child.name)}, so it would never end"
                )
            copy = self.checked(child, role, parent, base)
            attach(copy)
            on_path.add(id(child))
            stack.append((child, self.children(child, copy, base)))
        for uuid, name in self.uuids.items():
            if uuid in self.queues:
                raise SignatureError(
                    f"task {name}: {brief(uuid)!r} is a queue that this very task uses; give it another UUID"
                )
        return root

    def children(
        self, signature: Signature, copy: Signature, base: int
    ) -> Iterator[tuple[Signature, Role, int, Callable[[Signature], object]]]:
        callbacks: tuple[tuple[Role, list[Signature] | None], ...] = (
            ("OnSuccess", signature.on_success),
            ("OnError", signature.on_error),
        )
        for role, children in callbacks:
            if children is None:
                continue
            copies: list[Signature] = []
            if role == "OnSuccess":
                copy.on_success = copies
            else:
                copy.on_error = copies
            for child in children:
                yield child, role, base + 2, copies.append
        if signature.chord_callback is not None:

            def attach(callback: Signature) -> None:
                copy.chord_callback = callback

            yield signature.chord_callback, "ChordCallback", base + 1, attach

    def checked(self, signature: Signature, role: Role, parent: Signature | None, base: int) -> Signature:
        """A copy of one signature, still with its own callbacks."""
        if not isinstance(signature, Signature):
            raise TypeError(f"a Signature is needed, not {type(signature).__name__}")
        self.count += 1
        if self.count > MAX_SIGNATURES:
            raise SignatureError(f"more than {MAX_SIGNATURES} tasks hang on one; send some of them by themselves")
        check = _Check(signature, self.limits)
        check.texts()
        check.numbers()
        check.flags()
        check.names(self.uuids)
        self.queues.add(signature.routing_key)
        eta_ns = check.eta()
        check.callbacks()
        if role == "root" and self.in_group:
            check.member(eta_ns)
        elif signature.chord_callback is not None:
            raise SignatureError(
                f"{check.where}: chord_callback works in a chord only: without the stored group a Go worker stops; "
                "send it with send_chord"
            )
        args, arg_levels = check.arguments()
        headers, header_levels = check.headers()
        if base + 1 + max(arg_levels, header_levels) > MAX_NESTING:
            raise SignatureError(f"{check.where} is nested deeper than the {MAX_NESTING} levels that Go reads")
        _check_call(signature, role, parent)
        return Signature(
            name=signature.name,
            args=args,
            uuid=signature.uuid,
            routing_key=signature.routing_key,
            eta=signature.eta,
            group_uuid=signature.group_uuid,
            group_task_count=signature.group_task_count,
            headers=headers,
            priority=signature.priority,
            immutable=signature.immutable,
            retry_count=signature.retry_count,
            retry_timeout=signature.retry_timeout,
            broker_message_group_id=signature.broker_message_group_id,
            sqs_receipt_handle=signature.sqs_receipt_handle,
            stop_task_deletion_on_error=signature.stop_task_deletion_on_error,
            ignore_when_task_not_registered=signature.ignore_when_task_not_registered,
            declared=signature.declared,
        )


_TEXTS: Final = ("name", "uuid", "routing_key", "group_uuid", "broker_message_group_id", "sqs_receipt_handle")
_FLAGS: Final = ("immutable", "stop_task_deletion_on_error", "ignore_when_task_not_registered")
_NUMBERS: Final = (
    ("group_task_count", 0, _MAX_COUNT),
    ("priority", 0, 255),
    ("retry_count", 0, MAX_RETRIES),
    ("retry_timeout", 0, MAX_RETRY_TIMEOUT),
)


class _Check:
    """The fields of one signature, each by itself."""

    def __init__(self, signature: Signature, limits: Limits) -> None:
        self.signature = signature
        self.limits = limits
        name = signature.name
        self.where = f"task {brief(name) if isinstance(name, str) and name else '(without a name)'}"

    def texts(self) -> None:
        for field in _TEXTS:
            value = getattr(self.signature, field)
            if not isinstance(value, str):
                raise TypeError(f"{self.where}: {field} must be str, not {type(value).__name__}")
            _check_text(value, f"{self.where}: {field}")
        if not self.signature.name:
            raise SignatureError("a task needs a name; no worker knows one without")

    def flags(self) -> None:
        for field in _FLAGS:
            value = getattr(self.signature, field)
            if not isinstance(value, bool):
                raise TypeError(f"{self.where}: {field} must be bool, not {type(value).__name__}")
        if self.signature.stop_task_deletion_on_error and not self.limits.broker_is_sqs:
            raise SignatureError(
                f"{self.where}: stop_task_deletion_on_error works on SQS only; elsewhere a failure would stop a Go worker"
            )

    def numbers(self) -> None:
        for field, low, high in _NUMBERS:
            value = getattr(self.signature, field)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{self.where}: {field} must be int, not {type(value).__name__}")
            if not low <= value <= high:
                raise SignatureError(f"{self.where}: {field} must be from {low} to {high}")

    def names(self, seen: dict[str, str]) -> None:
        for field in ("uuid", "group_uuid"):
            value: str = getattr(self.signature, field)
            if value and (value in self.limits.reserved or self.limits.is_reserved(value)):
                raise SignatureError(
                    f"{self.where}: {field} {brief(value)!r} is the name of a queue or key that is in use, which the "
                    "task's state would overwrite; leave it empty to get a random one"
                )
            if value:
                seen.setdefault(value, brief(self.signature.name))
        if self.signature.uuid and self.signature.uuid == self.signature.group_uuid:
            raise SignatureError(f"{self.where}: uuid and group_uuid must differ; each is a key of its own")

    def eta(self) -> int:
        """The ETA in unix nanoseconds, 0 when there is none."""
        eta = self.signature.eta
        if eta is None:
            return 0
        if not isinstance(eta, datetime):
            raise TypeError(f"{self.where}: eta must be a datetime, not {type(eta).__name__}")
        if eta.utcoffset() is None:
            raise SignatureError(
                f"{self.where}: eta has no time zone; write datetime.now(timezone.utc) + timedelta(…) or use countdown"
            )
        nanoseconds = unix_ns(eta)
        if not 0 <= nanoseconds <= _LAST_NS:
            raise SignatureError(f"{self.where}: eta must be between 1970 and 2262; outside a Go worker never runs it")
        return nanoseconds

    def member(self, eta_ns: int) -> None:
        """What holds for members of a group: their states must outlive the last of them."""
        signature = self.signature
        if not signature.group_uuid or signature.group_task_count < 1:
            raise SignatureError(f"{self.where} is in no group; make the group with Group(…)")
        if signature.chord_callback is not None and self.limits.backend_is_null:
            raise SignatureError(f"{self.where}: a chord needs a result store that keeps results, not the null store")
        delay = max(0, eta_ns - self.limits.now_ns) // 1_000_000_000
        if delay > self.limits.results_expire_in:
            raise SignatureError(
                f"{self.where}: eta is {delay} s away, but a group's states are kept for {self.limits.results_expire_in} "
                "s; a Go worker stops when one is missing. Raise results_expire_in"
            )
        if signature.chord_callback is None:
            return
        delay += _longest_retry_wait(signature, self.limits.results_expire_in)
        if delay > self.limits.results_expire_in:
            raise SignatureError(
                f"{self.where}: its retries may last longer than the {self.limits.results_expire_in} s that a chord's "
                "states are kept; a Go worker stops when one is missing. Raise results_expire_in or retry less"
            )

    def callbacks(self) -> None:
        for field in ("on_success", "on_error"):
            value = getattr(self.signature, field)
            if value is None:
                continue
            if not isinstance(value, list | tuple):
                raise TypeError(f"{self.where}: {field} must be a list of signatures, not {type(value).__name__}")
            for index, callback in enumerate(value):
                if callback is None:
                    raise SignatureError(f"{self.where}: {field}[{index}] is None, which ends a Go worker's process")
                if not isinstance(callback, Signature):
                    raise TypeError(
                        f"{self.where}: {field}[{index}] must be a Signature, not {type(callback).__name__}"
                    )
        callback = self.signature.chord_callback
        if callback is not None and not isinstance(callback, Signature):
            raise TypeError(f"{self.where}: chord_callback must be a Signature, not {type(callback).__name__}")

    def arguments(self) -> tuple[list[Arg] | None, int]:
        """Copies of the arguments in their wire form, and the JSON levels below the signature."""
        args = self.signature.args
        if args is None:
            return None, 0
        if not isinstance(args, list | tuple):
            raise TypeError(f"{self.where}: args must be a list of Arg, not {type(args).__name__}")
        if len(args) > MAX_ARGUMENTS:
            raise SignatureError(
                f"{self.where} has {len(args)} arguments, {MAX_ARGUMENTS} at most may be sent; send a list as one"
            )
        copies = []
        for index, arg in enumerate(args, start=1):
            where = f"{self.where}: argument {index}"
            if not isinstance(arg, Arg):
                raise TypeError(f"{where} must be an Arg, not {type(arg).__name__}")
            if not isinstance(arg.type, str) or not isinstance(arg.name, str):
                raise TypeError(f"{where}: type and name must be str")
            _check_text(arg.name, f"{where}: name")
            try:
                copies.append(Arg(arg.type, wire_value(arg.type, arg.value), arg.name))
            except UnsupportedType:
                raise
            except TypeError as error:
                raise TypeError(f"{where} {error}") from None
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        return copies, 3 if copies else 1

    def headers(self) -> tuple[dict[str, Any] | None, int]:
        """A deep copy of the headers, and the JSON levels below the signature."""
        headers = self.signature.headers
        if headers is None:
            return None, 0
        if not isinstance(headers, dict):
            raise TypeError(f"{self.where}: headers must be a dict, not {type(headers).__name__}")
        if self.limits.broker_is_amqp:
            for key, value in headers.items():
                if not isinstance(value, str) or isinstance(value, Number):
                    raise TypeError(
                        f"{self.where}: header {brief(str(key))!r} must be str on AMQP, not {type(value).__name__}; "
                        "a Go worker cannot publish others again"
                    )
        copy, levels = _copied_json(headers, f"{self.where}: headers")
        return copy, levels


def _longest_retry_wait(signature: Signature, enough: int) -> int:
    """Seconds that all retries wait together, counted until it is more than ``enough`` (Go: ``retry.FibonacciNext``)."""
    total, timeout = 0, signature.retry_timeout
    for _ in range(signature.retry_count):
        low, high = 1, 1
        while high <= timeout:
            low, high = high, low + high
        timeout = high
        total += timeout
        if total > enough:
            break
    return total


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SignatureError(f"{where} holds a lone surrogate, which Go would replace") from None


def _copied_json(value: Any, where: str) -> tuple[Any, int]:
    """A deep copy of plain JSON data and how many levels it has; raises TypeError, ValueError or SignatureError."""
    root: list[Any] = [value]
    deepest = 0
    stack: list[tuple[Any, Any, int]] = [(root, 0, 0)]
    while stack:
        container, key, level = stack.pop()
        item = container[key]
        if level > MAX_NESTING:
            raise SignatureError(f"{where}: nested deeper than the {MAX_NESTING} levels that Go reads, or in a circle")
        if isinstance(item, dict):
            for name in item:
                if not isinstance(name, str):
                    raise TypeError(f"{where}: keys must be str, not {type(name).__name__}")
                _check_text(name, f"{where}: a key")
            copy: Any = dict(item)
            keys: Sequence[Any] | range = list(copy)
        elif isinstance(item, list | tuple):
            copy = list(item)
            keys = range(len(copy))
        else:
            _check_scalar(item, where)
            continue
        container[key] = copy
        deepest = max(deepest, level + 1)
        stack.extend((copy, inner, level + 1) for inner in keys)
    return root[0], deepest


def _check_scalar(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value} cannot be sent: JSON has no such number")
    else:
        raise TypeError(f"{where}: {type(value).__name__} is nothing that JSON has")


def _check_call(signature: Signature, role: Role, parent: Signature | None) -> None:
    """Whether the arguments fit the declared task, as far as it and what Machinery adds are known."""
    parameters = getattr(signature.declared, "parameters", None)
    if parameters is None:
        return
    types = [reflected_name(arg.type) for arg in signature.args or ()]
    why = ""
    if role == "OnError":
        types.insert(0, "string")
        why = "; Machinery puts the error's text before the arguments of an OnError task"
    elif role == "OnSuccess" and parent is not None and not parent.immutable:
        results = getattr(getattr(parent.declared, "results", None), "names", None)
        if results is None:
            return
        types.extend(results)
        why = f"; Machinery appends the results of {brief(parent.name)} to the arguments of its OnSuccess tasks"
    elif role == "ChordCallback":
        return
    refusal = parameters.refusal(0, types)
    if refusal is not None:
        raise SignatureError(f"{refusal}{why}")
