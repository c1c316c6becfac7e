"""The fields of one signature, each checked by itself before it may be sent; see ``outgoing.py``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gomachinery_py.annotations import wire_value
from gomachinery_py.errors import SignatureError, UnsupportedType
from gomachinery_py.golang.json import Number
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import MAX_ARGUMENTS, MAX_RETRY_TIMEOUT, brief
from gomachinery_py.wire.model import Arg, Signature

__all__ = ["MAX_NESTING", "MAX_RETRIES", "FieldChecks", "Limits"]

MAX_NESTING: Final = 10_000
"""JSON levels that Go decodes (Go: ``maxNestingDepth`` in ``encoding/json``); one more ends a Go consumer."""
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
        keys: those of ``reserved`` that are no queues.
        results_expire_in: seconds that group members' states are kept.
        now_ns: unix nanoseconds.
        broker_is_amqp: header values must be text, or a Go worker's retry fails and the task is lost.
        uuid_bytes, routing_key_bytes: how long these may be where they are names of queues; 0 is without a limit.
    """

    reserved: frozenset[str] = frozenset()
    is_reserved: Callable[[str], bool] = _nothing_reserved
    keys: frozenset[str] = frozenset()
    results_expire_in: int = 3600
    broker_is_sqs: bool = False
    broker_is_amqp: bool = False
    uuid_bytes: int = 0
    routing_key_bytes: int = 0
    backend_is_null: bool = False
    now_ns: int = 0


_TEXTS: Final = ("name", "uuid", "routing_key", "group_uuid", "broker_message_group_id", "sqs_receipt_handle")
_FLAGS: Final = ("immutable", "stop_task_deletion_on_error", "ignore_when_task_not_registered")
_NUMBERS: Final = (
    ("group_task_count", 0, _MAX_COUNT),
    ("priority", 0, 255),
    ("retry_count", 0, MAX_RETRIES),
    ("retry_timeout", 0, MAX_RETRY_TIMEOUT),
)


class FieldChecks:
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
                f"{self.where}: stop_task_deletion_on_error works on SQS only; elsewhere a failure stops a Go worker"
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
        limits = self.limits
        for field, most, taker in (
            ("uuid", limits.uuid_bytes, "result store"),
            ("group_uuid", limits.uuid_bytes, "result store"),
            ("routing_key", limits.routing_key_bytes, "broker"),
        ):
            name = getattr(self.signature, field)
            if most and len(name.encode()) > most:
                raise SignatureError(
                    f"{self.where}: {field} {brief(name, 40)!r} has {len(name.encode())} bytes; this server's {taker} "
                    f"takes {most} at most"
                )
        queue = self.signature.routing_key
        if queue and (queue in self.limits.keys or self.limits.is_reserved(queue)):
            raise SignatureError(f"{self.where}: routing_key {brief(queue)!r} is a key that is no queue")
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
                f"{self.where}: eta is {delay} s away, but a group's states are kept {self.limits.results_expire_in} "
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
    """Seconds that all retries wait together, up to more than ``enough`` (Go: ``retry.FibonacciNext``)."""
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
