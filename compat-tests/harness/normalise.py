"""Makes recordings comparable: each UUID and time of the run becomes a name, numbered as it first appears.

The same time stays the same name, so a ``CreatedAt`` that must be kept from state to state is still compared.
Times that a scenario itself gives (years before 2020 and after 2090) stay as they are.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["Names"]

UUID = re.compile(r"\b(task|group|chord)_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
TIME = re.compile(r"\b(20[2-8]\d-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


class Names:
    """The names of one recording; feed it texts in the order in which things happened."""

    def __init__(self) -> None:
        self._uuids: dict[str, str] = {}
        self._times: dict[str, str] = {}
        self._instants: dict[float, str] = {}
        self._secrets: dict[str, str] = {}

    def hide(self, text: str, name: str) -> None:
        """Replace ``text``, a random value, by ``name`` from now on."""
        self._secrets[text] = name

    def text(self, text: str) -> str:
        """``text`` with UUIDs, times and hidden values replaced."""
        if text in self._secrets:
            return self._secrets[text]
        return TIME.sub(self._time, UUID.sub(self._uuid, text))

    def score(self, score: str) -> str:
        """A delayed task's score: the time that it stands for, or the number as Redis keeps it."""
        number = float(score)
        return self._instants.get(number, f"{number:.0f}")

    def _uuid(self, match: re.Match[str]) -> str:
        name = f"{match[1]}_#{len(self._uuids) + 1}"
        return self._uuids.setdefault(match[0], name)

    def _time(self, match: re.Match[str]) -> str:
        name = self._times.setdefault(match[0], f"<time {len(self._times) + 1}>{match[3]}")
        self._instants[float(unix_nanoseconds(match))] = f"<score of {name}>"
        return name


def unix_nanoseconds(match: re.Match[str]) -> int:
    """The instant that a TIME match names, in nanoseconds since 1970."""
    moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    fraction = int((match[2] or ".").removeprefix(".").ljust(9, "0"))
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 10**9 + fraction
