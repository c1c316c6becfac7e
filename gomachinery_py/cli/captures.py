"""Files of captured tasks: written so that what is in them is safe, read line by line, with a note of how far."""

from __future__ import annotations

import fnmatch
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
    begins_header,
    read_header,
    read_line,
    write_header,
    write_line,
)
from gomachinery_py.moving.copies import copied
from gomachinery_py.moving.sources import Page, Source
from gomachinery_py.moving.tally import Left, Tally
from gomachinery_py.moving.targets import Target
from gomachinery_py.wire import decode_signature, encode_signature

__all__ = ["CaptureFile", "CaptureSource", "Picked"]


_LONGEST_HEADER = 1 << 20
# A killed run leaves one page that may be in the file already, a few where several were killed one after the other.
_REMEMBERED = 10_000
_MOST_TOLD = 100


def _header_of(path: Path, first: bytes) -> Header:
    """What a file's first line says. Raises CaptureError."""
    try:
        return read_header(first)
    except CaptureError as error:
        raise CaptureError(f"{path}: {error}") from error


class CaptureFile(Target):
    """Keeps every task, whatever it holds. What :meth:`arrive` has returned from is on the disk."""

    arrives_once = True

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._header = header
        self._file: IO[bytes] | None = None
        # Identities of the last lines: those of a page that somebody did not give up any more.
        self._known: dict[str, None] = {}

    def __str__(self) -> str:
        return f"the file {self._path.resolve()}"

    def open(self) -> None:
        """Begin a file, or go on with one whose tasks were being taken when its writer was killed.

        Raises ConfigError for one that is not this, CaptureError for one that is damaged or cannot be written.
        """
        try:
            self._file = self._path.open("xb")
        except FileExistsError:
            if not self._header.taken or not self._path.is_file():
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
        first = file.readline(_LONGEST_HEADER)
        end = file.tell()
        if first.endswith(b"\n") or not begins_header(first):
            found = _header_of(self._path, first)
            if (found.queue, found.broker) != (self._header.queue, self._header.broker):
                raise ConfigError(f"{self._path} is a capture of {found.queue!r} on {found.broker}: name another file")
            if not found.taken:
                raise ConfigError(f"{self._path} is a copy of tasks that stayed in their queue: name another file")
        else:
            end = 0
        number = 1
        while end and (line := file.readline()).endswith(b"\n"):
            number += 1
            try:
                self._remember(read_line(line).identity)
            except CaptureError as error:
                raise CaptureError(f"{self._path} line {number}: {error}; mend it or name another file") from error
            end = file.tell()
        file.seek(end)
        file.truncate()
        if not end:
            self._write(write_header(self._header))

    def _remember(self, identity: str) -> None:
        self._known[identity] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def judge(self, departure: Departure) -> Arrival:
        kind, body, due_ns = departure.kind, departure.body, departure.due_ns
        return Arrival(kind, "", body, None, due_ns, departure.identity, departure.reason)

    def add(self, departure: Departure) -> None:
        """One task that stays where it is; :meth:`flush` makes it safe. Raises CaptureError."""
        with self._writing() as file:
            file.write(write_line(self.judge(departure), ""))

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        lines = []
        for arrival in arrivals:
            identity = f"{mover}:{arrival.identity}" if arrival.identity else ""
            if not identity or identity not in self._known:
                lines.append(write_line(arrival, identity))
                self._remember(identity)
        self._write(b"".join(lines))
        return [None] * len(arrivals)

    def _write(self, data: bytes) -> None:
        with self._writing() as file:
            file.write(data)
        self.flush()

    def flush(self) -> None:
        """Return when everything is on the disk. Raises CaptureError."""
        with self._writing() as file:
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _writing(self) -> Iterator[IO[bytes]]:
        assert self._file is not None
        try:
            yield self._file
        except OSError as error:
            then = "make room and run the same command again" if self._header.taken else "it is not complete: delete it"
            raise CaptureError(f"{self._path} cannot be written ({error.strerror or error}); {then}") from error

    def close(self) -> None:
        """Nothing more is written."""
        if self._file is not None:
            # What could not be written before cannot be written now; that was said.
            with suppress(OSError):
                self._file.close()

    def discard(self) -> None:
        """Take away a file that was begun here and has nothing in it."""
        self.close()
        self._path.unlink()


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
        #: Lines that are no tasks: how many, and of the first hundred what is wrong with each.
        self.bad = 0
        self.bad_lines: list[tuple[int, str]] = []

    @staticmethod
    def header_of(path: Path) -> Header:
        """What a file says of itself. Raises CaptureError."""
        with path.open("rb") as file:
            return _header_of(path, file.readline(_LONGEST_HEADER))

    async def begin(self, target: Target, stopped: Callable[[], bool]) -> None:
        """Raises CaptureError, ConfigError when the progress is that of another sending."""
        await super().begin(target, stopped)
        wanted = {
            "capture": self.header_of(self._path).id,
            "to": self._to,
            "names": list(self._picked.names),
            "fresh_uuids": self._picked.fresh_uuids,
        }
        self._state = {**wanted, "run": uuid.uuid4().hex, "done": 1, "sending": 1, "unsent": self._unsent()}
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
            if not (isinstance(found["run"], str) and int(found["done"]) <= int(found["sending"])):
                raise ValueError
            unsent = found["unsent"]
            self.bad, self.bad_lines = int(unsent["bad"]), [(int(at), str(why)) for at, why in unsent["bad_lines"]]
            self._tally.refused, self._tally.undecodable = int(unsent["refused"]), int(unsent["undecodable"])
            self._tally.left = [Left(str(task), str(reason)) for task, reason in unsent["left"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._progress} cannot be read: delete it to begin anew") from error
        return found

    def _unsent(self) -> dict[str, Any]:
        """What was not sent so far: whoever goes on after a kill reads none of it again."""
        tally = self._tally
        left = [(each.task, each.reason) for each in tally.left]
        refused = {"refused": tally.refused, "undecodable": tally.undecodable, "left": left}
        return {"bad": self.bad, "bad_lines": list(self.bad_lines), **refused}

    def _save_done(self) -> None:
        self._save(done=self._line, sending=max(self._line, self._state["sending"]), unsent=self._unsent())

    def _save(self, **changed: Any) -> None:
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
            self._save_done()
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
            self.bad += 1
            if len(self.bad_lines) < _MOST_TOLD:
                self.bad_lines.append((number, str(error)))
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
        self._save_done()

    def complete(self) -> None:
        """All is sent, so that the next replay begins anew."""
        self._progress.unlink(missing_ok=True)

    async def finish(self) -> None:
        if self._file is not None:
            self._file.close()
