"""Many random documents through live Go, v1 and v2, and through us: ``python -m benchmarks.fuzz --documents 1000000``.

Prints how many agreed, the slowest document and the one that took most memory. Ends with status 1 when a document is
not taken or refused as by Go, when decoding it and encoding it again takes a second, or decoding it takes 64 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compat-tests"))

from harness.agreement import DECODE, differences, ours
from harness.codec import Codec
from harness.documents import KINDS, Documents
from harness.long_documents import long_documents

from gomachinery_py.wire import WireError

BATCH = 4_000
DEEP_IN = 500
"""One document of so many is nested about as deep as Go takes it."""
LONG = 1 << 19
"""Bytes of the documents that are hard work."""
MOST_SECONDS = 1.0
MOST_MEMORY = 64 << 20
REPEATS = 3
"""A document that seems slow is measured again: other processes run here, too."""

__all__ = ["main"]


class Worst:
    """The greatest measurement, and the document it belongs to."""

    def __init__(self) -> None:
        self.value = 0.0
        self.kind = ""
        self.document = b""

    def see(self, value: float, kind: str, document: bytes) -> None:
        """Keep it if it is the greatest."""
        if value > self.value:
            self.value, self.kind, self.document = value, kind, document

    def __str__(self) -> str:
        return f"{len(self.document):,} bytes, as {self.kind}, beginning {self.document[:50]!r}"


def _seconds(kind: str, document: bytes) -> float:
    begun = time.perf_counter()
    ours(kind, document)
    return time.perf_counter() - begun


def _memory(kind: str, document: bytes) -> int:
    """Peak memory of decoding, in bytes, without the document itself."""
    tracemalloc.start()
    with contextlib.suppress(WireError):
        DECODE[kind](document)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


class Fuzz:
    """One run: what was seen, and what was worst."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.documents = 0
        self.different = 0
        self.verdicts: Counter[str] = Counter()
        self.slowest = Worst()
        self.largest = Worst()

    def take(self, documents: list[tuple[str, bytes]]) -> None:
        """Ask Go and us; print the first differences."""
        verdicts = []
        for kind, document in documents:
            begun = time.perf_counter()
            verdicts.append(ours(kind, document))
            seconds = time.perf_counter() - begun
            if seconds > self.slowest.value:
                self.slowest.see(min(_seconds(kind, document) for _ in range(REPEATS)), kind, document)
        found = differences(self._codec, documents, verdicts)
        for text in found[: max(0, 5 - self.different)]:
            print(text)
        self.different += len(found)
        self.documents += len(documents)
        self.verdicts.update(verdict.status for verdict in verdicts)
        for kind, document in sorted(documents, key=lambda pair: len(pair[1]))[-2:]:
            self.largest.see(_memory(kind, document), kind, document)

    @property
    def good(self) -> bool:
        return self.different == 0 and self.slowest.value < MOST_SECONDS and self.largest.value < MOST_MEMORY


def main() -> int:
    """Run, report, and say by the status whether all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    source = Documents(options.seed)
    with Codec() as codec:
        fuzz = Fuzz(codec)
        for document in long_documents(LONG).values():
            fuzz.take([("s", document)])
        begun = time.monotonic()
        while fuzz.documents < options.documents:
            kinds = [("s", *KINDS)[number % 4] for number in range(min(BATCH, options.documents - fuzz.documents))]
            fuzz.take(
                [
                    (kind, source.document(kind) if number % DEEP_IN else source.deep_document(kind))
                    for number, kind in enumerate(kinds)
                ]
            )
            print(f"\r{fuzz.documents:,} documents, {fuzz.different} differ", end="", flush=True)
        minutes = (time.monotonic() - begun) / 60
    print(f"\n{dict(fuzz.verdicts)} in {minutes:.1f} minutes (= taken, ! refused, ? taken and impossible to write)")
    print(f"slowest: {fuzz.slowest.value * 1000:.0f} ms, {fuzz.slowest}")
    print(f"largest: {fuzz.largest.value / (1 << 20):.1f} MiB, {fuzz.largest}")
    return 0 if fuzz.good else 1


if __name__ == "__main__":
    sys.exit(main())
