"""Asks live Go how it decodes and encodes; ``go-harness/cmd/codec`` says what the frames mean."""

from __future__ import annotations

import struct
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from gobuild import binary

__all__ = ["DECODING_FAILED", "ENCODING_FAILED", "SYNTAX_FAILED", "VERSIONS", "WRITTEN", "Answer", "Codec"]

VERSIONS = ("v1", "v2")
WRITTEN, DECODING_FAILED, SYNTAX_FAILED, ENCODING_FAILED = "=", "!", "^", "?"


@dataclass(frozen=True, slots=True)
class Answer:
    """What Go made of one request: the bytes it wrote, or its error and the step that failed."""

    status: str
    payload: bytes

    @property
    def text(self) -> str:
        return self.payload.decode()


class Codec:
    """A running Go process; any number of requests may be asked at once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([binary("codec")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout

    def __enter__(self) -> Codec:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the process; RuntimeError when it did not end well."""
        self._in.close()
        self._out.close()
        status = self._process.wait(timeout=30)
        if status != 0:
            raise RuntimeError(f"the Go codec ended with status {status}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, kind: str, payloads: Iterable[bytes], version: str = "v2") -> list[Answer]:
        """Go's answers to requests of one kind."""
        return self.ask_all([(kind, version, payload) for payload in payloads])

    def ask_all(self, requests: Sequence[tuple[str, str, bytes]]) -> list[Answer]:
        """Go's answers to ``(kind, version, payload)``, in their order."""
        frames = b"".join(
            struct.pack(">Icc", len(payload) + 2, kind.encode(), version[1:].encode()) + payload
            for kind, version, payload in requests
        )
        # Go answers while it still reads, so writing must not wait for reading.
        writer = threading.Thread(target=self._write, args=(frames,), daemon=True)
        writer.start()
        answers = list(self._answers(len(requests)))
        writer.join()
        return answers

    def _write(self, frames: bytes) -> None:
        self._in.write(frames)
        self._in.flush()

    def _answers(self, count: int) -> Iterator[Answer]:
        for _ in range(count):
            header = self._out.read(5)
            if len(header) < 5:
                raise RuntimeError("the Go codec ended in the middle of its answers; its last words are on stderr")
            length, status = struct.unpack(">Ic", header)
            yield Answer(status.decode(), self._out.read(length - 1))
