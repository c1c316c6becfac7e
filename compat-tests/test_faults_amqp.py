"""RabbitMQ that closes connections, stops, and is short of memory, and an absent result store, in short.

``python -m benchmarks.faults rabbitmq`` has the heavy forms; ``test_amqp_worker.py`` has more of what a lost
connection means. Each fault is tried once more with its safeguard taken away, to see that the checker can find
something.
"""

from __future__ import annotations

from harness.rabbit_site import RabbitSite
from harness.rabbitmq_server import RabbitServer

from benchmarks.faults.rabbitmq import BLOCKED_SECONDS, UNLIMITED, alarm, closed, restarts, store_away


def test_closed_connections(rabbit_server: RabbitServer, vhost: str) -> None:
    """Every connection is closed under load: nothing acknowledged is lost."""
    verdict = closed("python", 2, site=RabbitSite(rabbit_server, vhost))
    assert verdict.whole, verdict
    assert verdict.acknowledged >= 100


def test_closed_connections_lose_tasks_that_nobody_acknowledges(rabbit_server: RabbitServer, vhost: str) -> None:
    """Where a message counts as done when it has been sent to a worker, the same checker finds losses."""
    assert closed("auto_ack", 1, site=RabbitSite(rabbit_server, vhost)).lost > 0


def test_a_node_that_stops() -> None:
    """A node that is killed and comes back has all that it acknowledged, and workers and senders find it again."""
    verdict = restarts("python", 1)
    assert verdict.whole, verdict
    assert verdict.refused > 0


def test_a_sender_that_ignores_errors() -> None:
    """A send that raised was not taken: counted as done, it is missing in the end."""
    assert restarts("python", 1, believes_all=True).lost > 0


def test_a_node_that_is_short_of_memory() -> None:
    """A send that RabbitMQ blocks fails in ten seconds, and nothing that it took is lost."""
    verdict = alarm("python", 11)
    assert verdict.whole, verdict
    assert verdict.refused > 0
    assert verdict.more["slowest send, seconds"] < BLOCKED_SECONDS


def test_a_sender_that_waits_for_ever(rabbit_server: RabbitServer, vhost: str) -> None:
    """Without a limit a blocked send fails never, and ends when RabbitMQ has memory again."""
    site = RabbitSite(rabbit_server, vhost)
    verdict = alarm("python", BLOCKED_SECONDS + 1, site=site, patience=UNLIMITED)
    assert verdict.refused == 0
    assert verdict.more["slowest send, seconds"] > BLOCKED_SECONDS


def test_a_sender_that_ignores_blocked_sends(rabbit_server: RabbitServer, vhost: str) -> None:
    """What RabbitMQ did not confirm it may not have: counted as done, some of it is missing in the end."""
    assert alarm("python", 4, site=RabbitSite(rabbit_server, vhost), believes_all=True, patience=1.0).lost > 0


def test_an_absent_result_store(rabbit_server: RabbitServer, vhost: str) -> None:
    """While it is away nothing is acknowledged; in the end every task is SUCCESS."""
    verdict = store_away("python", 2_000, 2, site=RabbitSite(rabbit_server, vhost))
    assert verdict.whole, verdict
    assert {"acknowledged early": 0} == verdict.more


def test_an_absent_result_store_that_nobody_waits_for(rabbit_server: RabbitServer, vhost: str) -> None:
    """Where a failed write counts as written, messages are acknowledged without a result."""
    verdict = store_away("no_result_needed", 2_000, 1, site=RabbitSite(rabbit_server, vhost))
    assert verdict.more["acknowledged early"] > 0
