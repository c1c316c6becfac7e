"""Time zones as a Go process finds them.

Go source: ``LoadLocation`` in ``time/zoneinfo.go``, ``initLocal`` in ``time/zoneinfo_unix.go``.
"""

from __future__ import annotations

import os
import posixpath
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["load_location", "local_zone"]


def load_location(name: str, local: tzinfo | None) -> tzinfo:
    """A zone by its name in the IANA database (Go: ``time.LoadLocation``). Raises ValueError with Go's text."""
    if name in ("", "UTC"):
        return UTC
    if name == "Local":
        return local_zone() if local is None else local
    reason = f"unknown time zone {name}"
    if ".." in name or name[0] in "/\\":
        reason = "time: invalid location name"
    elif not name.endswith("/"):
        try:
            return ZoneInfo(posixpath.normpath(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ValueError(reason)


def local_zone() -> tzinfo:
    """The machine's zone: ``$TZ``, a name or a file, else ``/etc/localtime``, else UTC (Go: ``initLocal``)."""
    name = os.environ.get("TZ")
    path = "/etc/localtime" if name is None else name.removeprefix(":")
    try:
        if path.startswith("/"):
            with open(path, "rb") as file:
                return ZoneInfo.from_file(file, key=path)
        return load_location(path, UTC)
    except (OSError, ValueError):
        return UTC
