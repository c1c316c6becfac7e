"""The commands of several requests as one pipeline, and the way back from replies to requests.

Everything that a Redis connection does not have to know: transactions of many coroutines become one script, reads
become one script as well, scripts go by their SHA, and errors that the server answers become ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)

from gomachinery_py import redis_scripts as lua
from gomachinery_py import redis_transactions as tx
from gomachinery_py.effects import Command, Request
from gomachinery_py.errors import ServiceError, ServiceUnavailable, WrongKeyType

__all__ = ["Batch", "atomic_answer", "packed_atomic"]

_SHA: Final = {text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for text in lua.SCRIPTS}
# Answers that say "not now" rather than "not this": whoever can wait should try again.
_NOT_NOW: Final = (ClusterDownError, MasterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError)
_NOT_NOW_TEXTS: Final = ("BUSY ", "MISCONF", "NOREPLICAS", "OOM ", "READONLY")


# Redis hangs up on a command of more than a gibibyte, so only so much is joined.
_SCRIPT_BYTES: Final = 8 * 1024 * 1024


class _Unanswered:
    pass


_UNANSWERED: Final = _Unanswered()
_MULTI: Final = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC: Final = b"*1\r\n$4\r\nEXEC\r\n"
# What is not sent as it is.
_NOT_PLAIN: Final = frozenset({"TRANSACT", "EVAL"})


class Batch:
    """One pipeline: :attr:`commands` to send, :attr:`replies` to fill in the same order, :meth:`results`."""

    def __init__(self, requests: Sequence[Request], observer: Callable[[Command], None] | None = None) -> None:
        self.commands: list[tuple[Any, ...]] = []
        #: Why the pipeline ended early, if it did.
        self.broken: ServiceUnavailable | None = None
        #: Found by :meth:`results`: the server is a replica, whatever it was when the connection was made.
        self.is_demoted = False
        self._requests = requests
        # Where each request's replies are: (first command, how many), or (joined command, place in its reply).
        self._places: list[tuple[int, int, bool]] = []
        self._whole: dict[int, tuple[Any, ...]] = {}
        transactions: list[list[Command]] = []
        reads: list[str] = []
        size = 0
        if observer is not None:
            for request in requests:
                for command in request.commands:
                    observer(command)
        place = self._places.append
        for request in requests:
            if not request.atomic and len(request.commands) == 1:
                command = request.commands[0]
                name = command[0]
                if name == "TRANSACT":
                    words = command[2]
                    if type(words) is tuple:
                        # Those of most tasks: see ``tx.beginning`` and ``tx.ending``.
                        length = len(words[1]) + len(words[3])
                    else:
                        length = sum([len(word) for word in words if type(word) is bytes])
                    if not transactions or size + length > _SCRIPT_BYTES:
                        transactions.append([])
                        size = 0
                    size += length
                    place((-1 - len(transactions), len(transactions[-1]), True))
                    transactions[-1].append(command)
                    continue
                if name == "GET":
                    place((-1, len(reads), True))
                    reads.append(command[1])
                    continue
            self._add(request)
        self._join(transactions, reads)
        self.replies: list[Any] = [_UNANSWERED] * len(self.commands)

    def _add(self, request: Request) -> None:
        first = len(self.commands)
        if request.atomic:
            self.commands.append(("MULTI",))
        for command in request.commands:
            self._append(tx.joined([command]) if command[0] == "TRANSACT" else command)
        if request.atomic:
            self.commands.append(("EXEC",))
        self._places.append((first, len(self.commands) - first, False))

    def _join(self, transactions: Sequence[Sequence[Command]], reads: Sequence[str]) -> None:
        joined = {}
        for at, some in enumerate(transactions):
            joined[-2 - at] = len(self.commands)
            self._append(tx.joined(some))
        if reads:
            joined[-1] = len(self.commands)
            self._append(("GET", reads[0]) if len(reads) == 1 else lua.script(lua.READ, reads))
        self._one_read = len(reads) == 1
        self._places = [
            (joined[first] if is_joined else first, place, is_joined) for first, place, is_joined in self._places
        ]

    def _append(self, command: Command) -> None:
        if command[0] == "EVAL" and command[1] in _SHA:
            self._whole[len(self.commands)] = command
            command = ("EVALSHA", _SHA[command[1]], *command[2:])
        self.commands.append(command)

    def packed(self) -> bytes:
        """All commands as the server reads them. Raises TypeError or ValueError for what it cannot read."""
        return b"".join([hiredis.pack_command(command) for command in self.commands])

    def unknown_scripts(self) -> list[tuple[int, bytes]]:
        """Where the server did not know a script's SHA, and the command that sends it whole.

        These have no reply yet: the server may be gone before there is one.
        """
        unknown = [at for at in self._whole if isinstance(self.replies[at], NoScriptError)]
        for at in unknown:
            self.replies[at] = _UNANSWERED
        return [(at, hiredis.pack_command(self._whole[at])) for at in unknown]

    def failed(self, error: Exception) -> list[list[Any] | Exception]:
        """The same error for every request."""
        return [error] * len(self._requests)

    def results(self) -> list[list[Any] | Exception]:
        """Each request's replies; an exception in place of the list where it could not be answered."""
        answers: list[list[Any] | Exception] = []
        replies = self.replies
        for request, (first, size, is_joined) in zip(self._requests, self._places, strict=True):
            if is_joined and type(joined := replies[first]) is list and not isinstance(joined[size], Exception):
                answers.append([joined[size]])
            else:
                answers.append(self._answer(request, first, size, is_joined))
        return answers

    def _answer(self, request: Request, first: int, size: int, is_joined: bool) -> list[Any] | Exception:
        replies: list[Any]
        if is_joined:
            reply = self.replies[first]
            if isinstance(reply, list):
                reply = reply[size]
            replies = [reply]
        else:
            replies = self.replies[first : first + size]
        if self.broken is not None and any(reply is _UNANSWERED for reply in replies):
            return self.broken
        if request.atomic:
            done = replies[-1]
            if isinstance(done, Exception):
                refused = next((reply for reply in replies[1:-1] if isinstance(reply, Exception)), None)
                return self._translated(refused or done)
            replies = list(done)
        if not any(isinstance(reply, Exception) for reply in replies):
            return replies
        translated = [self._translated(reply) if isinstance(reply, Exception) else reply for reply in replies]
        return next((reply for reply in translated if isinstance(reply, ServiceUnavailable)), translated)

    def _translated(self, error: Exception) -> Exception:
        self.is_demoted = self.is_demoted or isinstance(error, ReadOnlyError)
        return _translated(error)


def packed_atomic(commands: Sequence[Command]) -> bytes | None:
    """A transaction of plain commands as the server reads it; None when there is more to it."""
    parts = [_MULTI]
    for command in commands:
        if command[0] in _NOT_PLAIN:
            return None
        try:
            parts.append(hiredis.pack_command(command))
        except (TypeError, ValueError):
            return None
    parts.append(_EXEC)
    return b"".join(parts)


def atomic_answer(request: Request, replies: list[Any]) -> list[Any] | Exception:
    """What became of a transaction, by the replies to MULTI, its commands and EXEC."""
    done = replies[-1]
    if type(done) is list:
        for reply in done:
            if isinstance(reply, Exception):
                break
        else:
            return done
    batch = Batch((request,))
    batch.replies = replies
    return batch.results()[0]


def _translated(error: Exception) -> Exception:
    text = str(error)
    if isinstance(error, _NOT_NOW) or text.startswith(_NOT_NOW_TEXTS):
        return ServiceUnavailable(f"Redis cannot do this now: {text}")
    if "WRONGTYPE" in text:
        return WrongKeyType(f"Redis: {text}")
    return ServiceError(f"Redis: {text}")
