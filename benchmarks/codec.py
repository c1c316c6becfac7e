"""Encoding and decoding against Go's ``json.Marshal`` and ``Decoder`` with ``UseNumber``, in one interleaved run.

``python -m benchmarks.codec``. No two documents are alike and objects are new in every round, so that nothing is
measured but the work itself. Times are medians for one document; a ratio is ours to Go's.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compat-tests"))

import gobuild

from gomachinery_py import wire
from gomachinery_py.golang.time import Time
from gomachinery_py.wire.model import SUCCESS, Arg, Signature, TaskResult, TaskState

ROUNDS = int(os.environ.get("ROUNDS", "40"))
DOCUMENTS = 2_000
# Documents of a worker's queue are made within seconds of each other.
BEGIN, SPAN = 1_717_243_200 * 10**9, 20 * 10**9

__all__ = ["main"]


@dataclass(frozen=True)
class Subject:
    """What is measured: its name for people and for Go, how to make one, and our two functions."""

    name: str
    go_name: str
    make: Callable[[random.Random], Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _signature(random_: random.Random) -> Signature:
    args = [Arg("int64", random_.randrange(1000)), Arg("int64", random_.randrange(1 << 40))]
    return Signature("add", args, f"task_{uuid.uuid4()}", "machinery_tasks", headers={})


def _state(random_: random.Random) -> TaskState:
    created_at = Time.from_unix_ns(BEGIN + random_.randrange(SPAN))
    results = [TaskResult("int64", random_.randrange(1 << 40))]
    return TaskState(f"task_{uuid.uuid4()}", "add", SUCCESS, results, "", created_at)


SUBJECTS = (
    Subject("task of two arguments", "signature", _signature, wire.encode_signature, wire.decode_signature),
    Subject("state with a result", "state", _state, wire.encode_task_state, wire.decode_task_state),
)


class Go:
    """``go-harness/cmd/codecbench``, given documents and asked how long it takes with them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [gobuild.binary("codecbench")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[str] = self._process.stdin
        self._out: IO[str] = self._process.stdout

    def give(self, subject: Subject, documents: Sequence[bytes]) -> None:
        """Documents to be measured with."""
        self._in.writelines(f"{subject.go_name} {document.decode()}\n" for document in documents)

    def nanoseconds(self, verb: str, subject: Subject) -> float:
        """For one document."""
        self._in.write(f"{verb} {subject.go_name} 1\n")
        self._in.flush()
        return float(self._out.readline())

    def close(self) -> None:
        """End the process."""
        self._in.close()
        self._out.close()
        self._process.wait(timeout=30)


def _nanoseconds(function: Callable[[Any], Any], subjects: Sequence[Any]) -> float:
    begun = time.perf_counter_ns()
    for subject in subjects:
        function(subject)
    return (time.perf_counter_ns() - begun) / len(subjects)


def _measure(go: Go, subject: Subject) -> None:
    random_ = random.Random(subject.name)
    documents = [subject.encode(subject.make(random_)) for _ in range(DOCUMENTS)]
    go.give(subject, documents)
    times: dict[str, tuple[list[float], list[float]]] = {"encode": ([], []), "decode": ([], [])}
    for _ in range(ROUNDS):
        objects = [subject.make(random_) for _ in range(DOCUMENTS)]
        for verb, function, given in (("encode", subject.encode, objects), ("decode", subject.decode, documents)):
            times[verb][0].append(go.nanoseconds(verb, subject))
            times[verb][1].append(_nanoseconds(function, given))
    for verb, samples in times.items():
        theirs, ours = (statistics.median(sample) / 1000 for sample in samples)
        print(f"{f'{verb}, {subject.name}':32} {theirs:8.2f} {ours:8.2f} {ours / theirs:8.2f}")


def main() -> None:
    """Measure and print a table; times are microseconds."""
    print(f"{'µs for one, medians':32} {'Go':>8} {'Python':>8} {'ratio':>8}")
    go = Go()
    try:
        for subject in SUBJECTS:
            _measure(go, subject)
    finally:
        go.close()


if __name__ == "__main__":
    main()
