"""A second queue that gets a copy of every task, for a shadow run beside the real one.

A copy has its own UUID, ``shadow_`` and the real one, so that its states stand beside the real ones and can be compared
with them. It has no callbacks, group or chord: a shadow run sends nothing that the real run sends too. What the real
run sends to a mirrored queue is copied like everything else there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gomachinery_py.brokers.moves import Arrival, Departure
from gomachinery_py.errors import ServiceError, ServiceUnavailable, WireError
from gomachinery_py.incoming import brief
from gomachinery_py.moving.address import Refused
from gomachinery_py.moving.copies import copied
from gomachinery_py.moving.targets import QueueTarget, Target
from gomachinery_py.wire import decode_signature, encode_signature

__all__ = ["SHADOW_PREFIX", "ShadowTarget"]

log = logging.getLogger(__name__)

SHADOW_PREFIX = "shadow_"


class ShadowTarget(Target):
    """Puts a copy on ``shadow`` and, where there is one, the task itself on ``real``.

    The real queue comes first, and does not wait for a shadow that cannot be reached.
    """

    def __init__(self, shadow: QueueTarget, real: QueueTarget | None = None) -> None:
        self._shadow = shadow
        self._real = real
        self.arrives_once = shadow.arrives_once and (real is None or real.arrives_once)
        self.copied = 0
        #: Tasks without a copy: not decodable, refused, or the shadow's broker was away.
        self.uncopied = 0

    def __str__(self) -> str:
        return f"{self._shadow}, a mirror" if self._real is None else f"{self._real}, mirrored to {self._shadow}"

    def judge(self, departure: Departure) -> Arrival:
        if self._real is not None:
            return self._real.judge(departure)
        return Arrival(departure.kind, "", departure.body, identity=departure.identity)

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        outcomes: list[str | None] = [None] * len(arrivals)
        if self._real is not None:
            outcomes = await self._real.arrive(mover, arrivals)
        copies = [self._copy(each) for each, outcome in zip(arrivals, outcomes, strict=True) if outcome is None]
        wanted = [each for each in copies if each is not None]
        missed = len(copies) - len(wanted)
        try:
            told = await self._shadow.arrive(mover, wanted)
            missed += sum(outcome is not None for outcome in told)
        except (ServiceError, ServiceUnavailable) as error:
            if self._real is None:
                raise
            log.warning("%d tasks have no copy: %s", len(wanted), brief(str(error), 300))
            missed += len(wanted)
        self.uncopied += missed
        self.copied += len(copies) - missed
        return outcomes

    def _copy(self, arrival: Arrival) -> Arrival | None:
        try:
            signature = copied(decode_signature(arrival.body), lambda uuid: f"{SHADOW_PREFIX}{uuid}", callbacks=False)
            body = encode_signature(signature)
            return self._shadow.judge(Departure(arrival.kind, body, arrival.due_ns, arrival.identity))
        except (WireError, Refused):
            return None

    async def forget_arrived(self, mover: str, arrivals: Sequence[Arrival]) -> None:
        if self._real is not None:
            await self._real.forget_arrived(mover, arrivals)
        copies = [copy for each in arrivals if (copy := self._copy(each)) is not None]
        try:
            await self._shadow.forget_arrived(mover, copies)
        except (ServiceError, ServiceUnavailable):
            if self._real is None:
                raise

    async def is_left_by(self, kind: str, mover: str) -> bool:
        queues = [self._shadow] if self._real is None else [self._shadow, self._real]
        return any([await each.is_left_by(kind, mover) for each in queues])
