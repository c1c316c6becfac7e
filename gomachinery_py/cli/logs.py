"""Log lines on standard error, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from gomachinery_py.cli.text import json_safe, printable
from gomachinery_py.logs import TaskFields, fields_of

__all__ = ["set_up_logging", "show_lines_of"]

# Of a traceback. The text of an exception may be of any size.
_LINE_LENGTH: Final = 500
_LINES: Final = 200


class _Text(logging.Formatter):
    """Time, level and message on one line, and behind it ``[task_uuid=… task_name=… queue=…]`` if it is about a task.

    A traceback, if there is one, is on lines of its own below.
    """

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).astimezone().isoformat(timespec="milliseconds")
        fields = " ".join(f"{name}={printable(value)}" for name, value in fields_of(record).items())
        about = f" [{fields}]" if fields else ""
        lines = [f"{when} {record.levelname} {printable(record.getMessage())}{about}"]
        if record.exc_info:
            lines += map(printable, _traceback(self, record.exc_info))
        return "\n".join(lines)


class _Json(logging.Formatter):
    """One object a line: ``{"time", "level", "logger", "message"}``.

    About a task also ``"task_uuid"``, ``"task_name"`` and ``"queue"``; with an exception also ``"exception"``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = "\n".join(_traceback(self, record.exc_info))
        return json_safe(json.dumps(line, ensure_ascii=False))


def _traceback(formatter: logging.Formatter, error: Any) -> list[str]:
    """Its lines, as far as the text of the exception leaves them short and few."""
    lines = formatter.formatException(error).splitlines()
    shown = [line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}…" for line in lines[:_LINES]]
    return shown if len(lines) <= _LINES else [*shown, f"… ({len(lines)} lines)"]


class _StandardError(logging.Handler):
    """Writes to whatever ``sys.stderr`` is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def set_up_logging(level: str, style: str) -> None:
    """Send this package's log lines from ``level`` on, and warnings of others, to standard error.

    Call it before an app is imported: an app that sets up logging of its own then has the last word.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _StandardError)]:
        root.removeHandler(handler)
    own = _StandardError()
    own.setFormatter(_Json() if style == "json" else _Text())
    own.addFilter(TaskFields())
    root.addHandler(own)
    logging.getLogger("gomachinery_py").setLevel(level.upper())


def show_lines_of(module: str) -> None:
    """Show what an app's own package logs from the same level on, unless it has set a level itself."""
    theirs = logging.getLogger(module.partition(".")[0])
    if theirs.level == logging.NOTSET:
        theirs.setLevel(logging.getLogger("gomachinery_py").level)
