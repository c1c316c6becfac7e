"""Random signatures, states and groups, as Python code may build them."""

from __future__ import annotations

import random
import struct
from datetime import datetime, timedelta, timezone
from typing import Any

from gomachinery_py.golang.json import Number
from gomachinery_py.golang.time import ZERO_TIME, Time
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = ["Models"]

_CHARACTERS = 'aZ09 _-/\\"<>&\x00\x01\x08\t\n\x0c\r\x1f\x7f\x80é\u2028\u2029\ufeff\ufffd\uffff日😀\U0010ffff'
_NUMBERS = ("1.50", "1E5", "-0", "1.0", "1e400", "9" * 700, "-0.0", "1e-07")


class Models:
    """Objects by one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def model(self, kind: str) -> Any:
        """One object that is to be encoded as ``kind``."""
        if kind == "s":
            return self.signature(0)
        return self.task_state() if kind == "t" else self.group_meta()

    def signature(self, depth: int) -> Signature:
        r = self._random
        return Signature(
            name=self._text(),
            args=self._maybe_list(lambda: Arg(self._text(), self._value(0), self._text())),
            uuid=self._text(),
            routing_key=self._text(),
            eta=None if r.random() < 0.5 else self._time(),
            group_uuid=self._text(),
            group_task_count=self._int(),
            headers=None if r.random() < 0.3 else {self._text(): self._value(0) for _ in range(r.randrange(4))},
            priority=r.choice((0, 0, 1, 255)),
            immutable=r.random() < 0.3,
            retry_count=self._int(),
            retry_timeout=self._int(),
            on_success=self._callbacks(depth),
            on_error=self._callbacks(depth),
            chord_callback=self.signature(depth + 1) if depth < 3 and r.random() < 0.3 else None,
            broker_message_group_id=self._text() if r.random() < 0.3 else "",
            sqs_receipt_handle=self._text() if r.random() < 0.3 else "",
            stop_task_deletion_on_error=r.random() < 0.2,
            ignore_when_task_not_registered=r.random() < 0.2,
        )

    def task_state(self) -> TaskState:
        return TaskState(
            task_uuid=self._text(),
            task_name=self._text(),
            state=self._text(),
            results=self._maybe_list(lambda: TaskResult(self._text(), self._value(0))),
            error=self._text(),
            created_at=self._time(),
            ttl=self._int(),
        )

    def group_meta(self) -> GroupMeta:
        return GroupMeta(
            group_uuid=self._text(),
            task_uuids=self._maybe_list(self._text),
            chord_triggered=self._random.random() < 0.5,
            lock=self._random.random() < 0.5,
            created_at=self._time(),
            ttl=self._int(),
        )

    def _callbacks(self, depth: int) -> list[Signature] | None:
        return None if depth > 2 or self._random.random() < 0.6 else self._maybe_list(lambda: self.signature(depth + 1))

    def _maybe_list(self, element: Any) -> list[Any] | None:
        if self._random.random() < 0.15:
            return None
        return [element() for _ in range(self._random.randrange(4))]

    def _text(self) -> str:
        if self._random.random() < 0.5:
            return self._random.choice(("", "add", "int64", "task_0f31", "machinery_tasks"))
        return "".join(self._random.choices(_CHARACTERS, k=self._random.randrange(10)))

    def _int(self) -> int:
        return self._random.choice((0, 0, 0, 1, -1, 3600, (1 << 63) - 1, -(1 << 63)))

    def _time(self) -> datetime:
        r = self._random
        choice = r.random()
        offset = r.choice((0, 0, 60, 3600, -19_800, 86_340, -86_340, r.randrange(-1_439, 1_440) * 60))
        if choice < 0.1:
            return ZERO_TIME
        if choice < 0.4:
            zone = timezone(timedelta(seconds=offset))
            return datetime(
                r.randrange(2, 9999), r.randrange(1, 13), r.randrange(1, 29), 1, 2, 3, r.randrange(10**6), zone
            )
        return Time.from_unix_ns(r.randrange(-62_135_510_400, 253_402_210_800) * 10**9 + r.randrange(10**9), offset)

    def _value(self, depth: int) -> Any:
        r = self._random
        choice = r.randrange(10 if depth < 4 else 7)
        if choice == 0:
            return r.choice((None, True, False))
        if choice == 1:
            return r.randrange(-(1 << r.randrange(1, 90)), 1 << r.randrange(1, 90))
        if choice == 2:
            return self._float()
        if choice == 3:
            return Number(r.choice(_NUMBERS))
        if choice == 4:
            return r.choice((bytes, bytearray))(r.randbytes(r.randrange(9)))
        if choice < 7:
            return self._text()
        if choice < 9:
            return r.choice((list, tuple))(self._value(depth + 1) for _ in range(r.randrange(4)))
        return {self._text(): self._value(depth + 1) for _ in range(r.randrange(4))}

    def _float(self) -> float:
        r = self._random
        if r.random() < 0.5:
            return r.randrange(-(10**9), 10**9) / 10 ** r.randrange(12)
        while True:
            (number,) = struct.unpack("<d", r.randbytes(8))
            if number == number and abs(number) != float("inf"):
                return float(number)
