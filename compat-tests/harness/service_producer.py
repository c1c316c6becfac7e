"""Our own producer on any service, behind the methods of ``GoProducer``."""

from __future__ import annotations

from typing import Any

from gomachinery_py import AsyncResult, Config, Server
from gomachinery_py.results import ChainResult
from harness.python_producer import PythonProducer

__all__ = ["ServicePythonProducer"]


class ServicePythonProducer(PythonProducer):
    """Our producer behind the Go producer's methods, for any service."""

    def __init__(self, broker: str, backend: str, **settings: Any) -> None:
        self.server = Server(Config.of(broker=broker, result_backend=backend, **settings))
        self._workflows: dict[str, Any] = {}
        self._results: dict[str, AsyncResult[Any]] = {}

    def _get(self, result: Any, timeout: float) -> Any:
        # Kept, since a state may be read only once.
        last = result if isinstance(result, AsyncResult) else _last(result)
        self._results[last.uuid] = last
        return super()._get(result, timeout)

    def _stored(self, uuid: str) -> list[Any]:
        return self._results[uuid].results or []


def _last(result: Any) -> AsyncResult[Any]:
    last: AsyncResult[Any] = result.members[-1] if isinstance(result, ChainResult) else result.callback
    return last
