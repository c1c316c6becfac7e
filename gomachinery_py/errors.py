"""Every error this package raises on purpose, as one tree.

::

    MachineryError
    ├── WireError (ValueError)         bytes are not what Machinery stores; has .reason and .offset
    ├── ConfigError (ValueError)       a setting, URL or file is wrong; names the key and, for files, the line
    ├── SignatureError (ValueError)    a task may not be sent like this; nothing was sent
    ├── UnsupportedType (SignatureError, TypeError)   Machinery has no such argument type
    ├── ArgumentError (TypeError)      wire arguments do not fit their types (Go: "Reflect task args error")
    ├── TaskNotRegistered (LookupError)
    ├── TaskFailed                     the task ended in FAILURE; str() is the text that Machinery stored
    ├── ResultTimeout (TimeoutError)   the result was not there in time
    ├── RetryTaskLater                 raise it inside a task: run me again after a delay
    ├── SoftTimeLimitExceeded          raised inside a task that runs for longer than its soft_time_limit
    ├── PublishError                   the broker did not take the task
    ├── ServiceError                   a service answered with an error
    │   └── WrongKeyType               a key holds something that is not Machinery's
    ├── ServiceUnavailable (ConnectionError)   a service cannot be reached; names the URL without its password
    └── MissingExtra (ImportError)     a client library is not installed; names the pip command

A value of the wrong kind or range in ``task.send(...)`` raises the builtin ``TypeError`` or ``ValueError``
before anything is sent.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gomachinery_py.durations import nanoseconds
from gomachinery_py.golang.time import format_duration

__all__ = [
    "ArgumentError",
    "ConfigError",
    "MachineryError",
    "MissingExtra",
    "PublishError",
    "ResultTimeout",
    "RetryTaskLater",
    "ServiceError",
    "ServiceUnavailable",
    "SignatureError",
    "SoftTimeLimitExceeded",
    "TaskFailed",
    "TaskNotRegistered",
    "UnsupportedType",
    "WireError",
    "WrongKeyType",
]


class MachineryError(Exception):
    """Base of every error that this package raises on purpose."""


class WireError(MachineryError, ValueError):
    """Bytes are not a document that Machinery can read."""

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class ConfigError(MachineryError, ValueError):
    """A setting, URL or configuration file is wrong."""


class SignatureError(MachineryError, ValueError):
    """A task may not be sent like this; nothing was sent."""


class UnsupportedType(SignatureError, TypeError):
    """Machinery has no such argument or result type (Go: ``tasks.ErrUnsupportedType``)."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"{type_name} is not one of supported types")
        self.type_name = type_name

    def __reduce__(self) -> tuple[Any, ...]:
        return _same, (type(self), self.args, vars(self))


class ArgumentError(MachineryError, TypeError):
    """Wire arguments do not fit their declared types; the text is Go's."""


class TaskNotRegistered(MachineryError, LookupError):
    """No task of this name is registered here."""


class TaskFailed(MachineryError):
    """The task ended in FAILURE; ``str(error)`` is exactly the text that Machinery stored."""

    def __init__(self, text: str, *, task_uuid: str = "", task_name: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.task_uuid = task_uuid
        self.task_name = task_name


class ResultTimeout(MachineryError, TimeoutError):
    """The result was not there in time; the task may still run."""


class RetryTaskLater(MachineryError):
    """Raise inside a task to have it run again after a delay (Go: ``tasks.ErrRetryTaskLater``).

    Args:
        message: why; part of the text that logs show.
        delay: seconds, or a ``timedelta``.

    Raises TypeError or ValueError for a delay that is none.
    """

    def __init__(self, message: str, delay: float | timedelta) -> None:
        self.message = message
        self.delay_ns = nanoseconds(delay, "delay")
        super().__init__(f"Task error: {message} Will retry in: {format_duration(self.delay_ns)}")

    def __reduce__(self) -> tuple[Any, ...]:
        # A task may raise it in a process of its own; the constructor takes something else than the text.
        return _same, (type(self), self.args, vars(self))


class SoftTimeLimitExceeded(MachineryError):
    """Raised inside a task that has run for longer than its ``soft_time_limit``; catch it to clean up, or to end early.

    Inside a coroutine it is an ``asyncio.CancelledError`` as well.
    """


class PublishError(MachineryError):
    """The broker did not take the task."""


class ServiceError(MachineryError):
    """A service answered a command with an error."""


class WrongKeyType(ServiceError):
    """A key that a task names holds something that is not Machinery's; it was left as it is."""


class ServiceUnavailable(MachineryError, ConnectionError):
    """A service cannot be reached, or the connection broke."""


class MissingExtra(MachineryError, ImportError):
    """A client library is not installed; the message names the pip command."""


def _same(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    """An error as it was in another process."""
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error
