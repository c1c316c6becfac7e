"""The fixtures that users get: tried as they use them, in a pytest of its own and in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gomachinery_py import Server, Signature
from gomachinery_py.errors import WireError
from gomachinery_py.testing import assert_wire_equal, eager, reconfigured

APP = """
from gomachinery_py import Server

server = Server("redis://nowhere.invalid:6379")

@server.task
def add(*numbers: int) -> int:
    return sum(numbers)

@server.task(queue="mail")
def greet(name: str) -> str:
    return f"Hello {name}"
"""

TESTS = """
import app
import pytest
from gomachinery_py import Chain
from gomachinery_py.testing import assert_wire_equal

@pytest.fixture
def machinery_app():
    return app.server

def test_eager(machinery_eager):
    assert app.add.send(1, 2).get() == 3

def test_what_is_sent(machinery_server):
    app.add.send(1)
    [waiting] = machinery_server.pending()
    assert_wire_equal(waiting, app.add.using(routing_key="machinery_tasks", headers={}).signature(1))

def test_it_was_empty(machinery_server):
    assert list(machinery_server.pending()) == []

@pytest.mark.machinery(concurrency=2, queue="other")
def test_worker(machinery_server, machinery_worker):
    assert (machinery_worker.concurrency, machinery_worker.queues) == (2, ("other",))
    chain = Chain(*(app.add.using(routing_key="other").s(number) for number in (1, 2, 3)))
    assert machinery_server.send_chain(chain).get(timeout=10) == 6

def test_tasks_with_a_queue_of_their_own(machinery_server, machinery_worker):
    assert app.add.send(1, 2).get(timeout=10) == 3
    assert app.greet.send("Ada").get(timeout=10) == "Hello Ada"

def test_afterwards():
    assert "nowhere" in str(app.server.config.broker)
"""


def test_fixtures_as_a_user_has_them(tmp_path: Path) -> None:
    """Eager mode, an embedded Redis that is empty for each test, a worker that a marker sets up."""
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    (tmp_path / "test_app.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "-W", "error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "6 passed" in done.stdout) == (0, True), done.stdout + done.stderr


WRONG = """
import pytest

@pytest.mark.machinery(4)
def test_without_a_name(machinery_worker):
    pass

@pytest.mark.machinery(concurency=4)
def test_misspelt(machinery_worker):
    pass
"""


def test_a_marker_that_is_wrong(tmp_path: Path) -> None:
    """It is not passed over."""
    (tmp_path / "test_wrong.py").write_text(WRONG, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    for text in ("takes settings by name, as machinery(concurrency=2): not 4", "has no setting concurency"):
        assert text in done.stdout, done.stdout


def test_wire_equality() -> None:
    """Random UUIDs may differ, everything else is told field by field."""
    server = Server("eager")

    @server.task
    def add(*numbers: int) -> int:
        return sum(numbers)

    assert_wire_equal(add.s(1, 2), add.s(1, 2))
    with pytest.raises(AssertionError) as caught:
        assert_wire_equal(add.s(1, 2), add.using(priority=3, headers={"a": 1}).s(1, 3))
    lines = str(caught.value).splitlines()
    assert lines == [
        "not the same on the wire:",
        "  Args[1].Value: 2 is not 3",
        '  Headers: null is not {"a": 1}',
        "  Priority: 0 is not 3",
    ]
    one = b'{"Name":"add","UUID":"mine"}'
    with pytest.raises(AssertionError, match='UUID: "mine" is not "yours"'):
        assert_wire_equal(one, one.replace(b"mine", b"yours"))
    with pytest.raises(WireError):
        assert_wire_equal("{", Signature("x"))


def test_a_server_comes_back_as_it_was() -> None:
    """Also when the test fails."""
    server = Server("redis://nowhere.invalid:6379", default_queue="mine")

    def fails() -> None:
        with eager(server):
            assert server.broker.is_eager
            assert server.config.default_queue == "mine"
            raise RuntimeError("the test failed")

    with pytest.raises(RuntimeError):
        fails()
    assert "nowhere" in str(server.config.broker)
    with reconfigured(server, default_queue="other"):
        assert server.broker.default_queue == "other"
    assert server.broker.default_queue == "mine"
