"""``gomachinery doctor`` on a Redis cluster, SQS and Pub/Sub: what can be known there."""

from __future__ import annotations

from harness.doctors import WrongClock, found, report
from harness.pubsub_server import PubSubServer
from harness.redis_cluster import RedisCluster
from harness.redis_server import RedisServer
from harness.sqs_server import SQSServer

from gomachinery_py import Config, Server, Signature


def test_a_cluster(cluster: RedisCluster) -> None:
    """A healthy one, then a queue that nobody serves; what circles is not looked for, and it says so."""
    with Server(cluster.url()) as server, Server(cluster.url(), clock=WrongClock(-600)) as earlier:
        looked = report(server)
        assert (looked.findings, len(looked.limits)) == ([], 1)
        earlier.send_task(Signature("noop", [], routing_key="forgotten"))
        server.send_task(Signature("noop", []))
        assert found(server) == {("problem", "unserved", "forgotten")}


def test_sqs(sqs_server: SQSServer, redis_server: RedisServer) -> None:
    """A queue that is not there, a healthy one, and dead letters."""
    config = Config(broker=sqs_server.url, result_backend=redis_server.url())
    queue = "examined"
    dead = sqs_server.create_with_dead_letters(queue, 1)
    with Server(config) as server:
        assert found(server, queues=["missing"]) == {("warning", "no-queue", "missing")}
        sqs_server.send(queue, "not json")
        assert found(server, queues=[queue]) == set()
        sqs_server.send(dead, "not json")
        assert found(server, queues=[queue]) == {("problem", "dead-letters", queue)}


def test_pubsub(pubsub: PubSubServer, redis_server: RedisServer) -> None:
    """It counts nothing, so nothing is found, and it says so."""
    pubsub.make_queue("examined")
    with Server(pubsub.url("examined"), result_backend=redis_server.url()) as server:
        looked = report(server, watch=0.0)
    assert (looked.findings, len(looked.limits)) == ([], 1)
