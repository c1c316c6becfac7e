"""Results as Celery gives them, from what Machinery stores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from gomachinery_py.compat.celery.absent import OF_RESULTS, missing
from gomachinery_py.compat.celery.current import running, the_app
from gomachinery_py.compat.celery.exceptions import CeleryDifference, TimeoutError, raised_by
from gomachinery_py.compat.celery.values import restored
from gomachinery_py.errors import ResultTimeout, TaskFailed
from gomachinery_py.results import AsyncResult as Stored
from gomachinery_py.results import ChainResult
from gomachinery_py.runs import REVOKED
from gomachinery_py.wire.model import FAILURE, SUCCESS, TaskState

__all__ = ["AsyncResult", "EagerResult", "GroupResult", "states"]

_READY = frozenset({SUCCESS, FAILURE, "REVOKED"})
_REVOKED = (REVOKED, "gomachinery_py.compat.celery.exceptions.TaskRevokedError")


class states:  # noqa: N801
    """``celery.states``, as far as Machinery has them."""

    PENDING = "PENDING"
    RECEIVED = "RECEIVED"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    RETRY = "RETRY"
    REVOKED = "REVOKED"


class AsyncResult:
    """One task's result, now or later, by its id: ``AsyncResult(task_id, app=app)``."""

    def __init__(
        self,
        id: str,
        app: Any = None,
        *,
        stored: Stored[Any] | None = None,
        before: Sequence[Stored[Any]] = (),
        parent: AsyncResult | GroupResult | None = None,
    ) -> None:
        self.id = id
        self.parent = parent
        self._app = app
        self._stored: Stored[Any] = stored or (app or the_app()).server.result(id)
        self._before = before

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing("a result", name, OF_RESULTS)

    def __repr__(self) -> str:
        return f"<AsyncResult: {self.id}>"

    def __str__(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, AsyncResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def task_id(self) -> str:
        return self.id

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        disable_sync_subtasks: bool = True,
    ) -> Any:
        """Wait for the value.

        Raises what the task raised (see ``exceptions.raised_by``), or what a task before it in its chain or chord
        raised, since it never runs then; with ``propagate=False`` that is returned. TimeoutError after ``timeout``
        seconds. RuntimeError inside a task, as in Celery, since workers that wait for each other may wait for ever,
        unless ``disable_sync_subtasks=False``.
        """
        if disable_sync_subtasks:
            _refuse_inside_a_task()
        try:
            value = ChainResult([*self._before, self._stored]).get(timeout, interval)
        except TaskFailed as failed:
            error = raised_by(failed.text, task_uuid=failed.task_uuid, task_name=failed.task_name)
            if propagate:
                raise error from error.__cause__
            return error
        except ResultTimeout as error:
            raise TimeoutError(str(error)) from error
        return _value(value)

    wait = get

    @property
    def state(self) -> str:
        """``PENDING`` also when nothing is stored, as in Celery."""
        state = self._stored.state
        if state.state == FAILURE and state.error.startswith(_REVOKED):
            return states.REVOKED
        return state.state or states.PENDING

    @property
    def status(self) -> str:
        return self.state

    def ready(self) -> bool:
        return self.state in _READY

    def successful(self) -> bool:
        return self.state == SUCCESS

    def failed(self) -> bool:
        return self.state == FAILURE

    @property
    def result(self) -> Any:
        """The value, the exception of a failed task, or None while there is neither."""
        state: TaskState = self._stored.state
        if state.state == FAILURE:
            return raised_by(state.error, task_uuid=self.id, task_name=state.task_name)
        return _value(self._stored.get(0)) if state.state == SUCCESS else None

    @property
    def info(self) -> Any:
        return self.result

    @property
    def traceback(self) -> None:
        """None: Machinery stores an error's text, no traceback."""
        return

    def forget(self) -> None:
        """Delete what is stored; the state is PENDING then, as of a task that nobody has sent."""
        self._stored.forget()
        self._stored = (self._app or the_app()).server.result(self.id)

    def revoke(self, *, terminate: bool = False, signal: str | None = None) -> None:
        """Have Python workers begin it no more (see ``Server.revoke``); Go workers know nothing of it.

        CeleryDifference for ``terminate`` and ``signal``, and where neither broker nor result store is a Redis.
        """
        if terminate or signal:
            raise CeleryDifference("terminate cannot be followed: what runs goes on; declare it with soft_time_limit=")
        try:
            (self._app or the_app()).server.revoke(self.id)
        except NotImplementedError as error:
            raise CeleryDifference(f"revoke cannot be followed: {error}; send with expires=") from error

    def then(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: results are asked for."""
        raise CeleryDifference("then cannot be followed: results are asked for; use link=, which a worker sends")


def _refuse_inside_a_task() -> None:
    """Celery: ``assert_will_not_block``."""
    found = running.get()
    if found is None:
        return
    task, request = found
    if request.called_directly or request.is_eager or task.app.conf.task_always_eager:
        return
    raise RuntimeError(
        "Never call result.get() within a task! Compose the tasks instead, or say disable_sync_subtasks=False"
    )


def _value(value: Any) -> Any:
    """One value; what a Go task returned beside others is a list with them, as JSON would have it."""
    if isinstance(value, tuple):
        return [restored(item) for item in value]
    return restored(value)


class GroupResult:
    """The results of a group, in the order of its tasks."""

    def __init__(self, id: str, results: Sequence[AsyncResult], parent: Any = None) -> None:
        self.id = id
        self.results = list(results)
        self.parent = parent

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(result.id for result in self.results)}]>"

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[AsyncResult]:
        return iter(self.results)

    def __getitem__(self, index: int) -> AsyncResult:
        return self.results[index]

    @property
    def children(self) -> list[AsyncResult]:
        return self.results

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        disable_sync_subtasks: bool = True,
    ) -> list[Any]:
        """Every value, in order; raises as :meth:`AsyncResult.get` for the first that failed."""
        end = None if timeout is None else time.monotonic() + timeout
        values = []
        for result in self.results:
            left = None if end is None else max(0.0, end - time.monotonic())
            values.append(result.get(left, propagate, interval, disable_sync_subtasks=disable_sync_subtasks))
        return values

    join = get
    join_native = get

    def ready(self) -> bool:
        return self._all(AsyncResult.ready)

    def successful(self) -> bool:
        return self._all(AsyncResult.successful)

    def failed(self) -> bool:
        return any(result.failed() for result in self.results)

    def waiting(self) -> bool:
        return not self.ready()

    def completed_count(self) -> int:
        return sum(result.successful() for result in self.results)

    def forget(self) -> None:
        for result in self.results:
            result.forget()

    def _all(self, test: Callable[[AsyncResult], bool]) -> bool:
        return all(map(test, self.results))

    def revoke(self, *, terminate: bool = False, signal: str | None = None) -> None:
        """:meth:`AsyncResult.revoke` of each."""
        for result in self.results:
            result.revoke(terminate=terminate, signal=signal)

    def save(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: there is no store of groups by name."""
        raise CeleryDifference("save cannot be followed; keep the ids of its results: [r.id for r in result]")


class EagerResult:
    """What became of ``task.apply()``."""

    traceback = None

    def __init__(self, id: str, state: str, result: Any) -> None:
        self.id = self.task_id = id
        self.state = self.status = state
        self.result = self.info = result

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    def get(self, timeout: float | None = None, propagate: bool = True, interval: float | None = None) -> Any:  # noqa: ARG002
        """The value; raises what the task raised, unless ``propagate=False``."""
        if self.state == FAILURE and propagate:
            raise self.result
        return self.result

    wait = get

    def ready(self) -> bool:
        return True

    def successful(self) -> bool:
        return self.state == SUCCESS

    def failed(self) -> bool:
        return self.state == FAILURE

    def forget(self) -> None:
        """Nothing is stored."""
