"""toxiproxy: a network between a client and a server that can be made as bad as wanted."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gobuild

from harness.process import Process
from harness.redis_server import free_port

__all__ = ["TOXICS", "Toxiproxy"]

# Each goes upstream and downstream; times in milliseconds but the slicer's delay, which is in microseconds.
TOXICS: dict[str, tuple[str, dict[str, int]]] = {
    "latency": ("latency", {"latency": 40, "jitter": 30}),
    "reset": ("reset_peer", {"timeout": 150}),
    "slow close": ("slow_close", {"delay": 300}),
    "timeout": ("timeout", {"timeout": 400}),
    "silence": ("timeout", {"timeout": 0}),
    "slicer": ("slicer", {"average_size": 300, "size_variation": 200, "delay": 200}),
}


class Toxiproxy(Process):
    """A toxiproxy with one proxy to a port of 127.0.0.1; ``port`` is where it listens."""

    def __init__(self, directory: Path, upstream: int) -> None:
        self._api = free_port()
        self.port = free_port()
        command = [gobuild.toxiproxy(), "-host", "127.0.0.1", "-port", self._api]
        super().__init__(command, name="toxiproxy", directory=directory)  # type: ignore[arg-type]
        deadline = time.monotonic() + 20
        proxy = {"name": "it", "listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{upstream}"}
        while True:
            try:
                self._call("POST", "/proxies", proxy)
                return
            except urllib.error.URLError:
                if not self.alive or time.monotonic() > deadline:
                    raise self.failed("does not answer") from None
                time.sleep(0.02)

    @contextlib.contextmanager
    def toxic(self, name: str, direction: str) -> Iterator[None]:
        """One of TOXICS, ``upstream`` or ``downstream``, for as long as the block lasts."""
        kind, attributes = TOXICS[name]
        toxic = {"name": "toxic", "type": kind, "stream": direction, "attributes": attributes}
        self._call("POST", "/proxies/it/toxics", toxic)
        try:
            yield
        finally:
            self._call("DELETE", "/proxies/it/toxics/toxic", None)

    def _call(self, method: str, path: str, document: Any) -> None:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._api}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
