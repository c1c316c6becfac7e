"""A Celery program does the same under Celery and, with other imports, on Machinery.

``celery_example/`` is run as it is under real Celery, and once more with ``from celery`` replaced; both on one Redis.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.process import Process, wait_until
from harness.redis_server import RedisServer

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "celery_example"
FILES = ("tasks.py", "cases.py")
CASES = re.findall(r"^@case\ndef (\w+)", (EXAMPLE / "cases.py").read_text(encoding="utf-8"), re.MULTILINE)
DONE_SECONDS = 240.0


def moved(source: str) -> str:
    """A Celery program with the imports that run it on Machinery."""
    return re.sub(r"^from celery\b", "from gomachinery_py.compat.celery", source, flags=re.MULTILINE)


def outcomes(process: Process) -> dict[str, Any]:
    """What each case came to."""
    found: dict[str, Any] = {}
    while line := process.read_line(DONE_SECONDS):
        name, outcome = json.loads(line)
        found[name] = outcome
        if len(found) == len(CASES):
            break
    return found


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What the cases came to under Celery, and on Machinery."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        started = []
        for number, side in enumerate(("celery", "machinery")):
            shutil.copytree(EXAMPLE, directory / side)
            if side == "machinery":
                for name in FILES:
                    file = directory / side / name
                    file.write_text(moved(file.read_text(encoding="utf-8")), encoding="utf-8")
            environment = {
                "EXAMPLE_BROKER": redis.url(number),
                "EXAMPLE_BACKEND": redis.url(number),
                "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(directory / side)]),
            }
            command = [sys.executable, directory / side / "celeryside.py", side]
            started.append(Process(command, name=side, directory=directory, env=environment))
        try:
            yield outcomes(started[0]), outcomes(started[1])
            for process in started:
                wait_until(lambda process=process: not process.alive, DONE_SECONDS, "the example's end")  # type: ignore[misc]
                assert process.exit_code == 0, process.failed("ended badly")
        finally:
            for process in started:
                process.kill()
            redis.stop()


@pytest.mark.parametrize("case", CASES)
def test_same_outcome(case: str, both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """A case comes to the same under Celery and on Machinery, and to no error of its own."""
    under_celery, on_machinery = both

    assert under_celery[case] == on_machinery[case]
    assert not (isinstance(under_celery[case], list) and under_celery[case][:1] == ["raised"])


def test_imports_only() -> None:
    """What is run on Machinery differs from the Celery program in its imports only."""
    for name in FILES:
        before = (EXAMPLE / name).read_text(encoding="utf-8").splitlines()
        after = moved((EXAMPLE / name).read_text(encoding="utf-8")).splitlines()
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]

        assert changed != []
        assert all(old.startswith("from celery") for old, _ in changed)
        assert [old.split(" import ")[1] for old, _ in changed] == [new.split(" import ")[1] for _, new in changed]
