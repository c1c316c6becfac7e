"""Tools for testing your own tasks; with pytest they are there as soon as the package is installed.

Fixtures (see ``pytest_plugin.py``): ``machinery_redis``, ``machinery_server``, ``machinery_worker``,
``machinery_eager``. For any test framework: :func:`assert_wire_equal`, :func:`eager`, and
``gomachinery_py.demo.embedded.EmbeddedRedis``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gomachinery_py.config import Config, merge
from gomachinery_py.server import Server
from gomachinery_py.wire import decode_signature, encode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["assert_wire_equal", "eager", "reconfigured"]

_UUID = re.compile(r"\b(task|group|chord)_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


@contextmanager
def reconfigured(server: Server, **settings: Any) -> Iterator[Server]:
    """Your server with other settings for a while: ``reconfigured(app.server, broker=url, result_backend=url)``.

    Tasks stay as they are declared. Settings are those of ``Config.of``.
    """
    before = server.config
    server.configure(merge(Config.of(**settings), before))
    try:
        yield server
    finally:
        server.configure(before)


@contextmanager
def eager(server: Server) -> Iterator[Server]:
    """Your server with tasks that run inside the send, and results in memory."""
    with reconfigured(server, broker="eager", result_backend="eager") as running:
        yield running


def assert_wire_equal(actual: Signature | bytes | str, expected: Signature | bytes | str) -> None:
    """Both are the same task to Machinery, byte for byte; UUIDs that were made at random may differ.

    Raises AssertionError that names each field that differs, WireError for what is no task.
    """
    one, other = _comparable(actual), _comparable(expected)
    if one == other:
        return
    differences = list(_differences("", json.loads(one), json.loads(other))) or [f"{one} is not {other}"]
    raise AssertionError("not the same on the wire:\n" + "\n".join(f"  {each}" for each in differences))


def _comparable(task: Signature | bytes | str) -> str:
    if not isinstance(task, Signature):
        task = decode_signature(task.encode() if isinstance(task, str) else task)
    names: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"{match[1]}_#{len(names) + 1}")

    return _UUID.sub(named, encode_signature(task).decode())


def _differences(where: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            path = f"{where}.{key}" if where else key
            if key not in one or key not in other:
                yield f"{path}: only one of them has it"
            else:
                yield from _differences(path, one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(f"{where}[{index}]", left, right)
    elif (type(one), one) != (type(other), other):
        yield f"{where}: {json.dumps(one, ensure_ascii=False)} is not {json.dumps(other, ensure_ascii=False)}"
