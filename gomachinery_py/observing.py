# ruff: noqa: ARG002
"""What may be watched: tasks that are sent, tasks that run, and how they end.

Tracing and metrics are observers; so may be whatever a user needs besides. Without any, nothing of this costs time.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal

from gomachinery_py.incoming import brief, brief_error
from gomachinery_py.logs import about
from gomachinery_py.runs import Outcome
from gomachinery_py.wire.model import Signature

__all__ = ["Ending", "Observer", "Observers", "RunLog", "Workflow"]

log = logging.getLogger(__name__)
runs = logging.getLogger("gomachinery_py.worker.runs")

# So many are kept until they are told; more in a few seconds would say no more.
_FAILURES = 20

Workflow = Literal["task", "tasks", "chain", "group", "chord"]
"""Which call sends: ``tasks`` is ``send_many``."""

Ending = Literal["SUCCESS", "FAILURE", "RETRY"]
"""How a run ended."""


class Observer:
    """Does nothing; override what is of interest."""

    @contextmanager
    def sending(self, workflow: Workflow, signatures: Sequence[Signature], queue: str) -> Iterator[None]:
        """Around a send. ``signatures`` are what is about to be sent; headers may be added.

        A chain is its tasks in their order, a chord its members and then the callback. ``queue`` is where tasks
        without a routing key go. Callbacks and retries that a worker sends are not told of. What is raised here is
        raised by the send.
        """
        yield

    @contextmanager
    def running(self, signature: Signature, queue: str) -> Iterator[Callable[[BaseException | None], None]]:
        """Around the call of a task, in its thread or asyncio task; what is yielded is called with its error, or None.

        What is raised here makes the task fail.
        """
        yield lambda _error: None

    def ended(self, signature: Signature, queue: str, ending: Ending) -> None:
        """A run is over and its state stored; on the worker's own thread, so be quick. What is raised is logged."""

    def buried(self, queue: str) -> None:
        """A message became a dead letter; as :meth:`ended`."""


class Observers:
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._all = tuple(observers)
        #: How often runs ended how, and messages became dead letters (``DEAD``), by queue. Written by one thread.
        self.counts: dict[tuple[str, str], int] = {}
        #: The last tasks that failed for good: queue, unix seconds, UUID, name, text. Who tells it takes it away.
        self.failures: deque[tuple[str, float, str, str, str]] = deque(maxlen=_FAILURES)

    def __bool__(self) -> bool:
        return bool(self._all)

    def for_worker(self) -> Observers:
        """The same for one worker, which counts for itself, and with a RunLog if its lines would be seen.

        Asked once for each worker, so that nothing of it is asked when a task runs.
        """
        return Observers([*self._all, RunLog()] if runs.isEnabledFor(logging.DEBUG) else self._all)

    def sending(self, workflow: Workflow, signatures: Sequence[Signature], queue: str) -> AbstractContextManager[None]:
        """All of them around a send."""
        return self._sending(workflow, signatures, queue) if self._all else _UNWATCHED

    @contextmanager
    def _sending(self, workflow: Workflow, signatures: Sequence[Signature], queue: str) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._all:
                stack.enter_context(observer.sending(workflow, signatures, queue))
            yield

    def watched(
        self, call: Callable[[], Any], signature: Signature, queue: str, *, is_async: bool
    ) -> Callable[[], Any]:
        """A task's call with all of them around it. Neither raises: an error, theirs too, is in the outcome."""
        if not self._all:
            return call

        @contextmanager
        def around() -> Iterator[Callable[[Any], Any]]:
            with ExitStack() as stack:
                tells = [stack.enter_context(observer.running(signature, queue)) for observer in self._all]

                def told(outcome: Any) -> Any:
                    for tell in tells:
                        tell(outcome.error)
                    return outcome

                yield told

        def run() -> Any:
            try:
                with around() as told:
                    return told(call())
            except BaseException as error:
                return Outcome([], error)

        async def run_async() -> Any:
            awaitable: Callable[[], Awaitable[Any]] = call
            try:
                with around() as told:
                    return told(await awaitable())
            except BaseException as error:
                return Outcome([], error)

        return run_async if is_async else run

    def ended(self, signature: Signature, queue: str, ending: Ending, error: str = "") -> None:
        """A run is over; ``error`` is the text of a task that failed for good."""
        counted = queue, ending
        try:
            self.counts[counted] += 1
        except KeyError:
            self.counts[counted] = 1
        if error:
            uuid, name = brief(signature.uuid), brief(signature.name)
            self.failures.append((queue, time.time(), uuid, name, brief(error, 300)))
        for observer in self._all:
            _guarded(lambda each=observer: each.ended(signature, queue, ending), signature)  # type: ignore[misc]

    def buried(self, queue: str) -> None:
        """A message became a dead letter."""
        self.counts[queue, "DEAD"] = self.counts.get((queue, "DEAD"), 0) + 1
        for observer in self._all:
            _guarded(lambda each=observer: each.buried(queue))  # type: ignore[misc]


_UNWATCHED: AbstractContextManager[None] = nullcontext()


def _guarded(call: Callable[[], None], signature: Signature | None = None) -> None:
    try:
        call()
    except Exception as error:
        fields = about(signature) if signature is not None else {}
        log.error("an observer failed: %s", brief_error(error), extra=fields)


class RunLog(Observer):
    """Says when a task begins and when it has returned, as Machinery does, at debug level; results are not shown."""

    @contextmanager
    def running(self, signature: Signature, queue: str) -> Iterator[Callable[[BaseException | None], None]]:
        fields = about(signature, queue)
        runs.debug("task %s (%s) begins", fields["task_uuid"], fields["task_name"], extra=fields)
        began = time.perf_counter()

        def tell(error: BaseException | None) -> None:
            how = "returned" if error is None else f"raised {type(error).__name__}"
            seconds = time.perf_counter() - began
            text = "task %s (%s) %s after %.3f s"
            runs.debug(text, fields["task_uuid"], fields["task_name"], how, seconds, extra=fields, exc_info=error)

        yield tell
