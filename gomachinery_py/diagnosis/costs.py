"""What a verdict costs beyond the one message; each sentence was seen at live Go workers.

Go source: ``brokers/redis/redis.go`` and ``goredis.go`` (``consume``), ``worker.go`` (``LaunchAsync``).
"""

from __future__ import annotations

from typing import Final

from gomachinery_py.diagnosis.verdict import Kind, Verdict

__all__ = ["VERSIONS", "cost"]

VERSIONS: Final = ("v1", "v2")

_CONSUMER: Final = {
    "v1": "the worker starts over; up to concurrency + 1 fetched tasks are lost",
    "v2": "with redis.New the worker consumes no more; with redis.NewGR it starts over and loses fetched tasks",
}
_COSTS: Final = {
    Kind.KILLS: "all that the process held is lost",
    Kind.HANGS: "one slot of the worker is busy for ever, and its state stays RETRY",
    Kind.UNREGISTERED: "it goes round and round until a worker has its name",
}


def cost(verdict: Verdict, version: str) -> str:
    """What a Go worker of a version, on Redis, loses by a message; empty when nothing."""
    if verdict.kind is Kind.WORKER_ERROR:
        return f"the message is lost; {_CONSUMER[version]}"
    if verdict.ends_consumer:
        return _CONSUMER[version]
    return _COSTS.get(verdict.kind, "")
