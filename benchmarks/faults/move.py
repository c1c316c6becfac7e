"""kill -9 of ``gomachinery move`` at random moments, between Redis, RabbitMQ and SQS: nothing is lost.

Between two Redis servers nothing is there twice either. Elsewhere no broker can tell what has arrived before, so that a
page may be there twice for each kill; the movers say so, and the figures are compared.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.moves import RabbitEnd, RedisEnd, SQSEnd, Trip, Verdict
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.sqs_server import SQSServer, sqs_variables

from benchmarks.faults.verdicts import together

__all__ = ["arguments", "main"]

_PAGE = 100
# Delayed tasks are due within these seconds: on their way, or not long after.
_DELAYS = (60.0, 120.0)
_WAIT = 180.0
_TRIES = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """The issue's figures are the defaults."""
    parser.add_argument("--pending", type=int, default=10_000)
    parser.add_argument("--delayed", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))


def main(options: argparse.Namespace) -> bool:
    """Redis to Redis, Redis to RabbitMQ and back, Redis to SQS; and the first with each safeguard taken away."""
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())

        def directory() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gmpy-", ignore_cleanup_errors=True)))

        def started(kind: Callable[[Path], Any]) -> Any:
            server = kind(directory())
            stack.callback(server.stop)
            return server

        def trip(source: Any, target: Any, sent: set[str], sabotage: str = "", seed: int = options.seed) -> Verdict:
            found = Trip(source, target, directory(), seed, sabotage, ("--page", str(_PAGE)))
            return found.run(sent, options.kills, outside=True, wait=_WAIT)

        def redis(fill: bool = False) -> tuple[RedisEnd, set[str]]:
            end = RedisEnd(started(RedisServer))
            return end, end.fill(options.pending, options.delayed, _DELAYS) if fill else set()

        columns: dict[str, Verdict] = {}

        def note(name: str, verdict: Verdict) -> Verdict:
            columns[name] = verdict
            print(f"{name}: {verdict.rows()}", flush=True)
            return verdict

        def sabotaged(name: str, sabotage: str, shows: Callable[[Verdict], int]) -> Verdict:
            """Whether a kill meets the moment that the safeguard is for is a matter of chance: some more tries."""
            for attempt in range(_TRIES):
                source, sent = redis(fill=True)
                verdict = note(name, trip(source, redis()[0], sent, sabotage, options.seed + attempt))
                if shows(verdict):
                    break
            return verdict

        print(f"seed {options.seed}, pages of {_PAGE}", flush=True)
        unheld = sabotaged("no page kept", "no_hold", lambda verdict: verdict.lost)
        unknown = sabotaged("no record of arrivals", "no_record", lambda verdict: verdict.doubled)
        if options.sabotaged:
            print(_table(columns))
            return together(options, [unheld.lost == 0, unknown.doubled == 0])
        source, sent = redis(fill=True)
        exact = note("Redis to Redis", trip(source, redis()[0], sent))
        source, sent = redis(fill=True)
        rabbit = RabbitEnd(started(RabbitServer), "")
        there = note("Redis to RabbitMQ", trip(source, rabbit, sent))
        back = trip(rabbit, redis()[0], sent)
        # What the way there has doubled is not the way back's doing.
        back.doubled -= there.doubled
        note("RabbitMQ to Redis", back)
        source, sent = redis(fill=True)
        sqs = started(SQSServer)
        for name, value in sqs_variables(sqs).items():
            environment.setenv(name, value)
        to_sqs = note("Redis to SQS", trip(source, SQSEnd(sqs), sent))
    print(_table(columns))
    return (
        exact.doubled == 0
        and all(verdict.lost == 0 for verdict in (exact, there, back, to_sqs))
        and all(verdict.doubled <= min(verdict.told, verdict.kills * _PAGE) for verdict in (there, back, to_sqs))
        and unheld.lost > 0
        and unknown.doubled > 0
    )


def _table(columns: dict[str, Verdict]) -> str:
    rows = {name: verdict.rows() for name, verdict in columns.items()}
    width = max(map(len, columns)) + 2
    names = list(next(iter(rows.values())))
    lines = [" " * width + "".join(f"{name:>{len(name) + 2}}" for name in names)]
    for column, cells in rows.items():
        lines.append(f"{column:<{width}}" + "".join(f"{cells[name]!s:>{len(name) + 2}}" for name in names))
    return "\n".join(lines)
