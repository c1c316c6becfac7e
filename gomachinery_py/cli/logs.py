"""Log lines on standard error, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from gomachinery_py.cli.text import json_safe, printable

__all__ = ["set_up_logging"]


class _Text(logging.Formatter):
    """Time, level and message on one line; a traceback, if there is one, on lines of its own below."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).astimezone().isoformat(timespec="milliseconds")
        lines = [f"{when} {record.levelname} {printable(record.getMessage())}"]
        if record.exc_info:
            lines += [printable(line) for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)


class _Json(logging.Formatter):
    """One object a line: ``{"time", "level", "logger", "message"}``, and ``"exception"`` when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json_safe(json.dumps(line, ensure_ascii=False))


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
    root.addHandler(own)
    logging.getLogger("gomachinery_py").setLevel(level.upper())
