"""Errors that users make and pass around themselves."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

from gomachinery_py.errors import (
    MachineryError,
    ResultTimeout,
    RetryTaskLater,
    TaskFailed,
    UnsupportedType,
    WireError,
)


@pytest.mark.parametrize(
    ("delay", "kind", "text"),
    [
        ("5", TypeError, "delay must be seconds or a timedelta, not str"),
        (None, TypeError, "delay must be seconds or a timedelta, not None"),
        (True, TypeError, "delay must be seconds or a timedelta, not bool"),
        (float("nan"), ValueError, "delay must be a number of seconds, not nan"),
        (1e300, ValueError, "delay must be a number of seconds, not 1e+300"),
    ],
)
def test_a_delay_is_seconds(delay: Any, kind: type[Exception], text: str) -> None:
    """Said where it is raised, in words."""
    with pytest.raises(kind) as caught:
        RetryTaskLater("busy", delay)
    assert text == str(caught.value)


def test_delays() -> None:
    """Seconds, whole or not, or a timedelta; one that is over already is due at once."""
    given = [2, 0.5, timedelta(minutes=1), -1]
    assert [2 * 10**9, 5 * 10**8, 60 * 10**9, -(10**9)] == [RetryTaskLater("busy", delay).delay_ns for delay in given]


@pytest.mark.parametrize(
    "error",
    [
        RetryTaskLater("busy", 0.25),
        TaskFailed("no", task_uuid="task_1", task_name="add"),
        ResultTimeout("not yet"),
        UnsupportedType("complex"),
        WireError("unexpected end", 7),
        WireError("unexpected end"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes(error: MachineryError) -> None:
    """A task may raise them in a process pool; what they say and hold comes with them."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(error), str(error), vars(error)) == (type(other), str(other), vars(other))
