"""``gomachinery move`` on real services, killed, and what Go workers make of what was moved, in short.

``python -m benchmarks.faults move`` has the heavy form. Each kill is tried once more with a safeguard taken away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.command_line import gomachinery
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.moves import RabbitEnd, RedisEnd, SQSEnd, Trip
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.signatures import signature
from harness.sqs_server import SQSServer
from seeds import FRESH_SEED
from test_both_ways import values

PENDING, DELAYED, KILLS, PAGE = 600, 100, 5, 50
OPTIONS = ("--page", str(PAGE))


@pytest.fixture
def far_redis(make_redis: Callable[..., RedisServer]) -> RedisServer:
    """Another Redis than ``redis_server``."""
    return make_redis()


def test_between_two_redis_everything_is_there_once(
    redis_server: RedisServer, far_redis: RedisServer, tmp_path: Path
) -> None:
    """Killed at random requests: nothing lost, nothing twice, and nothing of the movers left behind."""
    source, target = RedisEnd(redis_server), RedisEnd(far_redis)
    sent = source.fill(PENDING, DELAYED, (600, 700))
    verdict = Trip(source, target, tmp_path, FRESH_SEED, options=OPTIONS).run(sent, KILLS)
    assert (verdict.lost, verdict.doubled, verdict.told, verdict.kills) == (0, 0, 0, KILLS)
    assert ([], []) == (source.leftovers(), target.leftovers())


def test_to_rabbitmq_and_back(
    redis_server: RedisServer, rabbit_server: RabbitServer, vhost: str, tmp_path: Path
) -> None:
    """Nothing lost on either way; what is there twice is no more than a page a kill, and was told."""
    redis, rabbit = RedisEnd(redis_server), RabbitEnd(rabbit_server, vhost)
    sent = redis.fill(PENDING, DELAYED, (10, 20))
    there = Trip(redis, rabbit, tmp_path, FRESH_SEED, options=OPTIONS).run(sent, KILLS)
    assert (there.lost, there.kills) == (0, KILLS)
    assert there.doubled <= min(there.told, KILLS * PAGE)
    back = Trip(rabbit, redis, tmp_path, FRESH_SEED, options=OPTIONS).run(sent, 2)
    assert back.lost == 0
    assert back.doubled - there.doubled <= min(back.told, 2 * PAGE)


def test_to_sqs(redis_server: RedisServer, sqs_server: SQSServer, tmp_path: Path) -> None:
    """The same."""
    source, target = RedisEnd(redis_server), SQSEnd(sqs_server)
    sent = source.fill(PENDING, DELAYED, (5, 10))
    verdict = Trip(source, target, tmp_path, FRESH_SEED, options=OPTIONS).run(sent, KILLS)
    assert (verdict.lost, verdict.kills) == (0, KILLS)
    assert verdict.doubled <= min(verdict.told, KILLS * PAGE)


@pytest.mark.parametrize(
    ("step", "sabotage", "found"),
    [
        ("hold", "", (0, 0)),
        ("hold", "no_hold", (8, 0)),
        ("arrive", "", (0, 0)),
        ("arrive", "no_record", (0, 8)),
    ],
)
def test_one_kill_between_two_redis(
    redis_server: RedisServer, far_redis: RedisServer, tmp_path: Path, step: str, sabotage: str, found: tuple[int, int]
) -> None:
    """Without a page that is kept a kill loses one, and without the record of what has arrived it doubles one."""
    source, target = RedisEnd(redis_server), RedisEnd(far_redis)
    sent = source.fill(20, 0, (0, 0))
    verdict = Trip(source, target, tmp_path, FRESH_SEED, sabotage).run(sent, 0, after=step)
    assert (1, *found) == (verdict.kills, verdict.lost, verdict.doubled)


@pytest.mark.parametrize(("sabotage", "lost"), [("", False), ("early_ack", True)])
def test_one_kill_on_the_way_from_rabbitmq(
    redis_server: RedisServer, rabbit_server: RabbitServer, vhost: str, tmp_path: Path, sabotage: str, lost: bool
) -> None:
    """What was acknowledged before it had arrived is lost with the mover."""
    redis, rabbit = RedisEnd(redis_server), RabbitEnd(rabbit_server, vhost)
    sent = redis.fill(20, 0, (0, 0))
    Trip(redis, rabbit, tmp_path, FRESH_SEED).run(sent, 0)
    verdict = Trip(rabbit, redis, tmp_path, FRESH_SEED, sabotage).run(sent, 0, after="depart")
    assert (1, lost, 0) == (verdict.kills, verdict.lost > 0, verdict.doubled)
    # What was taken and came back is told, although nothing of it had arrived.
    assert (verdict.told > 0) != lost


# -- Go runs what was moved --


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_go_runs_what_go_sent_after_it_was_moved(
    redis_server: RedisServer,
    far_redis: RedisServer,
    rabbit_server: RabbitServer,
    sqs_server: SQSServer,
    sqs_queue: str,
    vhost: str,
    start: Callable[..., Any],
    version: str,
) -> None:
    """Sent to Redis, by way of RabbitMQ and another queue on another Redis to SQS; a chain among them."""
    far, results = far_redis.url(), redis_server.url()
    client: GoProducer = start(GoProducer, version, redis=far_redis, backend=results, queue="orders")
    tasks = [client.send_task(signature("add", ("int64", number), ("int64", 1)), typed=True) for number in range(3)]
    chain = client.send_chain(signature("add", ("int64", 1), ("int64", 1)), signature("add", ("int64", 5)), typed=True)
    assert far_redis.client.llen("orders") == 4

    def moved(queue: str, *options: str) -> None:
        code, out, error = gomachinery("move", queue, "--json", *options)
        assert (code, error) == (0, ""), error
        assert json.loads(out)["moved"] == {"pending": 4, "delayed": 0, "dead": 0}

    rabbit = rabbit_server.url(vhost)
    moved("orders", "--broker", far, "--to", rabbit, "--default-queue", "orders")
    moved("orders", "--broker", rabbit, "--to", far, "--to-queue", "second", "--default-queue", "orders")
    moved("second", "--broker", far, "--to", sqs_server.url, "--to-queue", sqs_queue)
    start(GoWorker, version, broker=sqs_server.url, backend=results, queue=sqs_queue, records=results)

    assert [values(client, uuid) for uuid in tasks] == [[1], [2], [3]]
    assert values(client, *chain.all) == [7]
