"""``gomachinery move`` on real services, killed, and what Go workers make of what was moved, in short.

``python -m benchmarks.faults move`` has the heavy form. Each kill is tried once more with a safeguard taken away.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest
from harness.command_line import gomachinery
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.memcached_server import MemcachedServer
from harness.mongo_server import MongoServer
from harness.moves import QUEUE, RabbitEnd, RedisEnd, SQSEnd, Trip
from harness.process import Process, wait_until
from harness.pubsub_server import PubSubServer
from harness.rabbitmq_server import RabbitServer
from harness.redis_cluster import RedisCluster
from harness.redis_server import RedisServer
from harness.signatures import signature
from harness.sqs_server import SQSServer
from seeds import FRESH_SEED
from test_both_ways import values

from gomachinery_py import Group, Server, Signature

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
    assert lost or verdict.told > 0


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


def shell(*arguments: str) -> dict[str, Any]:
    """What a command says as JSON."""
    code, out, error = gomachinery(*arguments, "--json")
    assert code == 0, error
    told: dict[str, Any] = json.loads(out)
    return told


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_mirror_on_rabbitmq_runs_in_go(
    redis_server: RedisServer,
    rabbit_server: RabbitServer,
    vhost: str,
    start: Callable[..., Any],
    tmp_path: Path,
    version: str,
) -> None:
    """Go sends and Go runs as before, at once and later; a second Go worker runs the copies; then nothing is left."""
    broker, results = rabbit_server.url(vhost), redis_server.url()
    both = {"broker": broker, "backend": results, "records": results}
    start(GoWorker, version, **both)
    start(GoWorker, version, **both, custom_queue="shadow", queue="shadow")
    command = [sys.executable, "-m", "gomachinery_py", "mirror", QUEUE, "--shadow", "shadow", "--broker", broker]
    mirror = Process([*command, "--json"], name="mirror", directory=tmp_path)
    wait_until(lambda: rabbit_server.consumers(f"{QUEUE}.gmpy-mirror", vhost), 30, "a mirror")
    client: GoProducer = start(GoProducer, version, **both)
    soon = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    tasks = [
        client.send_task(signature("add", ("int64", number), ("int64", 1), **fields), typed=True)
        for number, fields in enumerate(({}, {}, {"ETA": soon}))
    ]

    for number, uuid in enumerate(tasks):
        assert values(client, uuid) == [number + 1]
        assert values(client, f"shadow_{uuid}") == [number + 1]
    mirror.signal(SIGINT)
    told = json.loads(mirror.read_line(30))
    mirror.stop()
    assert told == {"copied": 3, "uncopied": 0, "refused": 0, "undecodable": 0}
    assert rabbit_server.counts(f"{QUEUE}.gmpy-mirror", vhost) is None


def test_a_mirror_that_is_stopped_while_copies_wait(rabbit_server: RabbitServer, vhost: str, tmp_path: Path) -> None:
    """They stay in their queue until the mirror runs again; a queue that is not there cannot be mirrored."""
    broker, copy, number = rabbit_server.url(vhost), f"{QUEUE}.gmpy-mirror", 2_000
    options = ("mirror", QUEUE, "--shadow", "shadow", "--until-empty", "--broker", broker)
    code, _, error = gomachinery(*options)
    assert (code, f"there is no queue '{QUEUE}'" in error, rabbit_server.counts(copy, vhost)) == (2, True, None)

    channel = rabbit_server.connect(vhost)
    for name in (QUEUE, copy):
        channel.queue_declare(name, durable=True)
    for at in range(number):
        channel.basic_publish("", copy, json.dumps(signature("add", UUID=f"task_{at}")).encode())
    channel.connection.close()
    mirror = Process([sys.executable, "-m", "gomachinery_py", *options], name="mirror", directory=tmp_path)
    wait_until(lambda: (rabbit_server.counts("shadow", vhost) or (0, 0))[0], 60, "copies")
    mirror.signal(SIGINT)
    mirror.read_line(60)
    mirror.stop()

    waiting = rabbit_server.counts(copy, vhost) or (0, 0)
    assert (rabbit_server.counts("shadow", vhost) or (0, 0))[0] + waiting[0] == number
    code, _, error = gomachinery(*options)
    assert (code, rabbit_server.counts("shadow", vhost), rabbit_server.counts(copy, vhost)) == (0, (number, 0), None)


def test_dead_letters_of_rabbitmq_stay(rabbit_server: RabbitServer, vhost: str, redis_server: RedisServer) -> None:
    """A dry run says so too."""
    channel = rabbit_server.connect(vhost)
    channel.queue_declare(QUEUE, durable=True)
    channel.connection.close()
    for options in ((), ("--dry-run",)):
        command = ("move", QUEUE, "--dead", "--broker", rabbit_server.url(vhost), "--to", redis_server.url(), *options)
        code, out, error = gomachinery(*command)
        assert (code, out, "dead letters are moved from Redis only" in error) == (1, "", True)


def test_captures_of_rabbitmq_and_sqs(
    rabbit_server: RabbitServer, vhost: str, sqs_server: SQSServer, sqs_queue: str, tmp_path: Path
) -> None:
    """Copied where it can be looked at, taken where not; replayed byte for byte, refused ones told."""
    bodies = [json.dumps(signature("add", UUID=f"task_{number}", RoutingKey=sqs_queue)) for number in range(15)]
    sqs_server.send(sqs_queue, *bodies)
    broker = rabbit_server.url(vhost)
    there = ("--broker", broker, "--default-queue", "other")

    first = shell("capture", sqs_queue, "-o", str(tmp_path / "sqs"), "--take", "--broker", sqs_server.url)
    assert first["captured"]["pending"] == 15
    assert shell("replay", str(tmp_path / "sqs"), *there)["sent"]["pending"] == 15
    assert shell("capture", sqs_queue, "-o", str(tmp_path / "copy"), *there)["captured"]["pending"] == 15
    assert shell("capture", sqs_queue, "-o", str(tmp_path / "taken"), "--take", *there)["captured"]["pending"] == 15
    assert rabbit_server.counts(sqs_queue, vhost) == (0, 0)

    for name in ("sqs", "copy", "taken"):
        lines = (tmp_path / name).read_text().splitlines()[1:]
        assert sorted(json.loads(line)["body"] for line in lines) == sorted(bodies), name


def test_go_reads_results_that_were_copied(
    redis_server: RedisServer,
    far_redis: RedisServer,
    memcached: MemcachedServer,
    mongo: MongoServer,
    start: Callable[..., Any],
) -> None:
    """What Go stored on Redis, read by Go from memcached and MongoDB, and the same bytes when it is back on Redis."""
    stores = [redis_server.url(), memcached.url(), mongo.url(), far_redis.url()]
    start(GoWorker, "v2")
    sender: GoProducer = start(GoProducer, "v2")
    sent = sender.send_group(*(signature("add", ("int64", number), ("int64", 1)) for number in range(3)), typed=True)
    assert values(sender, *sent.all) == [3]
    before = {uuid: redis_server.client.get(uuid) for uuid in (sent.group_uuid, *sent.all)}

    for source, target in itertools.pairwise(stores):
        done = shell("results", "copy", sent.group_uuid, "--from", source, "--to", target)
        assert (done["states"], done["groups"]) == (3, 1)
    for store in stores[1:]:
        reader: GoProducer = start(GoProducer, "v2", backend=store)
        assert values(reader, *sent.all) == [3]
    back = shell("results", "copy", "--all", "--from", mongo.url(), "--to", memcached.url())
    assert (back["there"], back["states"]) == (4, 0)
    far_redis.flush()
    shell("results", "copy", sent.group_uuid, "--from", memcached.url(), "--to", far_redis.url())
    assert before == {uuid: far_redis.client.get(uuid) for uuid in before}


def test_a_group_that_is_copied_to_rabbitmq(redis_server: RedisServer, rabbit_server: RabbitServer, vhost: str) -> None:
    """Its members' states are; that RabbitMQ keeps nothing else of it is told."""
    with Server(redis_server.url()) as server:
        sent = server.send_group(Group(Signature("add", []), Signature("add", [])))
    copy = ("results", "copy", sent.group_uuid, "--from", redis_server.url(), "--to", rabbit_server.url(vhost))
    code, out, _ = gomachinery(*copy, "--json")
    told = json.loads(out)
    assert (code, told["states"], told["groups"], told["missing"]) == (1, 2, 0, 0)
    assert [(each["uuid"], "members' states" in each["reason"]) for each in told["failed"]] == [(sent.group_uuid, True)]


def test_pubsub_and_a_cluster(redis_server: RedisServer, pubsub: PubSubServer, cluster: RedisCluster) -> None:
    """By Pub/Sub to a cluster and back: the same bytes, once each; what Pub/Sub cannot hold goes past it."""
    end = RedisEnd(redis_server)
    end.fill(30, 2, (600, 700))
    pubsub.make_queue("project")
    single, broker, several = redis_server.url(), pubsub.url("project"), cluster.url()

    def stored() -> tuple[list[bytes], Any]:
        client: Any = redis_server.client
        return sorted(client.lrange(QUEUE, 0, -1)), client.zrange("delayed_tasks", 0, -1, withscores=True)

    before = stored()
    code, out, error = gomachinery("move", QUEUE, "--broker", single, "--to", broker, "--json")
    assert (code, json.loads(out)["moved"]["pending"], json.loads(out)["refused"]) == (1, 30, 2), error
    assert shell("move", QUEUE, "--broker", single, "--to", several)["moved"]["delayed"] == 2
    assert shell("move", QUEUE, "--broker", broker, "--to", several)["moved"]["pending"] == 30
    assert stored() == ([], [])
    assert shell("move", QUEUE, "--broker", several, "--to", single)["moved"] == {
        "pending": 30,
        "delayed": 2,
        "dead": 0,
    }
    assert before == stored()
