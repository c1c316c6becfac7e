"""What a worker does beside its tasks, each on a thread of its own so that no task can hold it up.

The heartbeat says that the worker lives. Housekeeping brings delayed tasks to their queues and gives back the tasks
of workers that died.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence

from gomachinery_py.brokers.base import Broker
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.health import WRITE_SECONDS, Report
from gomachinery_py.revocations import Revocations

__all__ = ["Chore", "heartbeat", "mover", "recovery", "revocation", "sign_of_life"]

REVOCATION_SECONDS = 2.0
"""How often a worker looks for tasks that were revoked."""

log = logging.getLogger(__name__)


class Chore:
    """Calls one function again and again, ``period`` seconds apart, whatever becomes of it."""

    def __init__(self, name: str, period: float, call: Callable[[], bool]) -> None:
        self._period = period
        self._call = call
        self._stopping = threading.Event()
        self._failing = False
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            again = False
            try:
                again = self._call()
                self._failing = False
            except (ServiceUnavailable, ServiceError) as error:
                if not self._failing:
                    log.warning("%s: %s", self.thread.name, error)
                self._failing = True
            except Exception:
                log.exception("%s failed", self.thread.name)
            if not again:
                self._stopping.wait(self._period)


def _for_each(queues: Sequence[str], call: Callable[[str], None]) -> None:
    """One queue that cannot be reached (its node of a cluster is down) takes nothing from the others."""
    failed: ServiceUnavailable | ServiceError | None = None
    for queue in queues:
        try:
            call(queue)
        except (ServiceUnavailable, ServiceError) as error:
            failed = failed or error
    if failed is not None:
        raise failed


def heartbeat(
    broker: Broker, queues: Sequence[str], worker: str, period: float, tell: Callable[[], None] = lambda: None
) -> Chore:
    """Tell others that this worker lives, and then how it does."""

    def beat() -> bool:
        try:
            _for_each(queues, lambda queue: run(broker.beat(queue, worker)))
        except ServiceError:
            tell()
            raise
        tell()
        return False

    return Chore(f"{worker}-heartbeat", period, beat)


def mover(broker: Broker, worker: str, period: float) -> Chore:
    """Bring delayed tasks to their queues; at once again while there are more."""
    return Chore(f"{worker}-delayed", period, lambda: run(broker.move_due()) > 0)


def recovery(broker: Broker, queues: Sequence[str], worker: str, period: float) -> Chore:
    """Give back the tasks of workers that died."""

    def recover(queue: str) -> None:
        # After a sleep this may be the first thing that happens: it must not count itself among the dead.
        run(broker.beat(queue, worker))
        recovered = run(broker.recover(queue))
        if recovered.given_back:
            log.warning("%d tasks of a worker that died went back to %r", recovered.given_back, queue)
        if recovered.buried:
            what = "%d tasks of %r are kept as dead letters: too many workers died while they ran"
            log.error(what, recovered.buried, queue)

    def recover_all() -> bool:
        _for_each(queues, recover)
        return False

    return Chore(f"{worker}-recovery", period, recover_all)


def revocation(worker: str, revocations: Revocations, learn: Callable[[Collection[str]], None]) -> Chore:
    """Learn which tasks are revoked."""

    def look() -> bool:
        run(revocations.look())
        learn(revocations.uuids)
        return False

    return Chore(f"{worker}-revocation", REVOCATION_SECONDS, look)


def sign_of_life(path: str, worker: str, report: Callable[[], Report]) -> Chore:
    """Write what the worker says of itself, for probes; a file that cannot be written is told once."""
    told = False

    def write() -> bool:
        nonlocal told
        try:
            report().write(path)
        except OSError as error:
            if not told:
                log.warning("%s cannot be written, so health checks know nothing of this worker: %s", path, error)
            told = True
        return False

    return Chore(f"{worker}-health", WRITE_SECONDS, write)
