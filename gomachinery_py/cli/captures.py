"""Files of captured tasks: written so that what is in them is safe, read line by line, with a note of how far."""

from __future__ import annotations

import fnmatch
import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from gomachinery_py.brokers.moves import Arrival, Departure
from gomachinery_py.effects import sleep
from gomachinery_py.errors import ConfigError, WireError
from gomachinery_py.moving.address import Refused
from gomachinery_py.moving.capture import (
    CaptureError,
    Header,
    read_header,
    read_line,
    write_header,
    write_line,
)
from gomachinery_py.moving.copies import copied
from gomachinery_py.moving.sources import Page, Source
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import Target
from gomachinery_py.wire import decode_signature, encode_signature

__all__ = ["CaptureFile", "CaptureSource", "Picked"]


_LONGEST_HEADER = 1 << 20


class CaptureFile(Target):
    """Keeps every task, whatever it holds. What :meth:`arrive` has returned from is on the disk."""

    arrives_once = True

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._header = header
        self._file: IO[bytes] | None = None
        self._known: set[str] = set()
        #: How many tasks the file had when it was opened.
        self.before = 0

    def __str__(self) -> str:
        return f"the file {self._path.resolve()}"

    def open(self, *, resume: bool) -> None:
        """Begin a file, or go on with one whose writer was killed. Raises ConfigError for one that is not this."""
        try:
            self._file = self._path.open("xb")
        except FileExistsError:
            if not resume:
                raise ConfigError(f"{self._path} is there already: name another file") from None
            self._file = self._path.open("r+b")
            self._read_through(self._file)
            return
        self._write(write_header(self._header))
        # Its name as well.
        directory = os.open(self._path.resolve().parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _read_through(self, file: IO[bytes]) -> None:
        """What is in it; a line that a kill cut off is of a task that is still where it was."""
        first = file.readline()
        end = file.tell()
        if first.endswith(b"\n"):
            found = read_header(first)
            if (found.queue, found.broker) != (self._header.queue, self._header.broker):
                raise ConfigError(f"{self._path} is a capture of {found.queue!r} on {found.broker}: name another file")
        else:
            end = 0
        while end and (line := file.readline()).endswith(b"\n"):
            departure = read_line(line)
            self._known.add(departure.identity)
            self.before += 1
            end = file.tell()
        file.seek(end)
        file.truncate()
        if not end:
            self._write(write_header(self._header))

    def judge(self, departure: Departure) -> Arrival:
        kind, body, due_ns = departure.kind, departure.body, departure.due_ns
        return Arrival(kind, "", body, None, due_ns, departure.identity, departure.reason)

    def add(self, departure: Departure) -> None:
        """One task that stays where it is; :meth:`flush` makes it safe."""
        assert self._file is not None
        self._file.write(write_line(self.judge(departure), ""))

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        lines = []
        for arrival in arrivals:
            identity = f"{mover}:{arrival.identity}" if arrival.identity else ""
            if not identity or identity not in self._known:
                lines.append(write_line(arrival, identity))
                self._known.add(identity)
        self._write(b"".join(lines))
        return [None] * len(arrivals)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)
        self.flush()

    def flush(self) -> None:
        """Return when everything is on the disk."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more is written."""
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, slots=True)
class Picked:
    """Which tasks of a capture are sent, and as what: ``names`` are patterns as of a shell, none of them is all."""

    names: Sequence[str] = ()
    fresh_uuids: bool = False

    def wants(self, departure: Departure) -> bool:
        """Whether a task is one of them; what cannot be decoded has no name."""
        if not self.names:
            return True
        try:
            name = decode_signature(departure.body).name
        except WireError:
            return False
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)

    def body(self, departure: Departure, run: str) -> bytes:
        """What is sent of it. The UUIDs of one run of one capture are the same whenever it is interrupted."""
        if not self.fresh_uuids:
            return departure.body
        try:
            signature = decode_signature(departure.body)
        except WireError:
            return departure.body
        space = uuid.uuid5(uuid.NAMESPACE_OID, f"{run}:{departure.identity}")

        def rename(name: str) -> str:
            prefix = name.partition("_")[0] if name.startswith(("task_", "chord_")) else "task"
            return f"{prefix}_{uuid.uuid5(space, name)}"

        return encode_signature(copied(signature, rename, callbacks=True))


class CaptureSource(Source):
    """Reads a capture; ``FILE.progress`` says how far it has been sent, and which lines were being sent."""

    def __init__(
        self, path: Path, page: int, tally: Tally, picked: Picked, *, rate: float | None = None, to: str = ""
    ) -> None:
        super().__init__(page, tally)
        self._path = path
        self._picked = picked
        self._to = to
        self._progress = path.with_name(f"{path.name}.progress")
        self._pause = page / rate if rate else 0.0
        self._next = 0.0
        self._file: IO[bytes] | None = None
        self._line = 1
        self._state: dict[str, Any] = {}
        #: Lines that are no tasks, and what is wrong with each.
        self.bad: list[tuple[int, str]] = []

    @staticmethod
    def header_of(path: Path) -> Header:
        """What a file says of itself. Raises CaptureError."""
        with path.open("rb") as file:
            return read_header(file.readline(_LONGEST_HEADER))

    async def begin(self, target: Target, stopped: Callable[[], bool]) -> None:
        """Raises CaptureError, ConfigError when the progress is that of another sending."""
        await super().begin(target, stopped)
        wanted = {
            "capture": self.header_of(self._path).id,
            "to": self._to,
            "names": list(self._picked.names),
            "fresh_uuids": self._picked.fresh_uuids,
        }
        self._state = {**wanted, "run": uuid.uuid4().hex, "done": 1, "sending": 1}
        if self._progress.exists():
            found = self._read_progress()
            if {name: found.get(name) for name in wanted} != wanted:
                raise ConfigError(
                    f"{self._progress} is the progress of an interrupted replay to {found.get('to')} with other "
                    "options: finish that one first, or delete the file to begin anew"
                )
            self._state = found
        self._file = self._path.open("rb")
        self._file.readline()
        while self._line < self._state["done"] and self._file.readline():
            self._line += 1

    def _read_progress(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._progress.read_text(encoding="utf-8"))
            if not (isinstance(found["run"], str) and found["done"] <= found["sending"]):
                raise ValueError
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._progress} cannot be read: delete it to begin anew") from error
        return found

    def _save(self, **changed: int) -> None:
        self._state |= changed
        new = self._progress.with_name(f"{self._progress.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self._state, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._progress)

    async def take(self) -> Page | None:
        assert self._file is not None
        page = Page(f"replay-{self._state['run']}")
        while len(page.departures) < self._most and (line := self._file.readline()):
            self._line += 1
            self._read(line, page)
        if not page.departures:
            self._save(done=self._line, sending=self._line)
            return None
        await self._wait_turn()
        self._save(sending=max(self._line, self._state["sending"]))
        return page

    def _read(self, line: bytes, page: Page) -> None:
        number = self._line
        try:
            if not line.endswith(b"\n"):
                raise CaptureError("it is cut off")
            departure = read_line(line)
        except CaptureError as error:
            self.bad.append((number, str(error)))
            return
        if not self._picked.wants(departure):
            return
        departure.identity = str(number)
        departure.repeated = number <= self._state["sending"]
        departure = replace(departure, body=self._picked.body(departure, self._state["run"]))
        try:
            page.arrivals.append(self._target.judge(departure))
            page.departures.append(departure)
        except Refused as refused:
            self._tally.note_left(Refused(f"line {number}: {refused}", refused.task, undecodable=refused.undecodable))

    async def _wait_turn(self) -> None:
        now = time.monotonic()
        if self._next > now:
            await sleep(self._next - now)
        self._next = max(now, self._next) + self._pause

    async def settle(self, page: Page, gone: Sequence[Departure], back: Sequence[Departure]) -> None:  # noqa: ARG002
        self._save(done=self._line)

    def complete(self) -> None:
        """All is sent, so that the next replay begins anew."""
        self._progress.unlink(missing_ok=True)

    async def finish(self) -> None:
        if self._file is not None:
            self._file.close()
