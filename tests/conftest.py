"""What several test files share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from gomachinery_py.demo.embedded import EmbeddedRedis

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs the tests in a shell's background has Ctrl-C ignored, and so would every process that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """The URL of an embedded Redis; tests use queues and UUIDs of their own."""
    with EmbeddedRedis() as redis:
        yield redis.url
