"""A dictionary as a service, for the eager and null stores: GET, SET, DEL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from gomachinery_py.config import Config
from gomachinery_py.effects import Command, Port, Request
from gomachinery_py.urls import ServiceURL

__all__ = ["MemoryPort", "open_port"]


class MemoryPort(Port):
    """Keys and values in this process; nothing expires."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        with self._lock:
            return [[self._run(command) for command in request.commands] for request in requests]

    async def asend(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return self.send(requests)

    def _run(self, command: Command) -> Any:
        if self.observer is not None:
            self.observer(command)
        match command:
            case ("GET", key):
                return self._values.get(key)
            case ("SET", key, value):
                self._values[key] = value
                return b"OK"
            case ("DEL", key):
                return 0 if self._values.pop(key, None) is None else 1
        raise ValueError(f"the memory port does not know {command!r}")


def open_port(_url: ServiceURL, _config: Config) -> MemoryPort:
    """A store of its own."""
    return MemoryPort()
