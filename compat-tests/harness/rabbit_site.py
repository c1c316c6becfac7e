"""A site whose broker is RabbitMQ; results are on an append-only Redis, the log on another one."""

from __future__ import annotations

import time
from typing import Any

from gomachinery_py import Config, Server
from harness.amqp_fleet import AMQPPythonWorker
from harness.faults import CONCURRENCY, QUEUE, Site
from harness.go_worker import GoWorker
from harness.process import Process
from harness.rabbitmq_server import RabbitServer

__all__ = ["RabbitSite"]

# A connection that the server lost sight of without a word is noticed after so many seconds.
_HEARTBEAT = 10


class RabbitSite(Site):
    """Like :class:`Site`; ``redis`` is the result store. Stopped, the node comes back with all that is durable.

    Args:
        rabbit: a node that runs already, for this site to use a vhost of; otherwise it starts one of its own.
        vhost: which one.
    """

    def __init__(self, rabbit: RabbitServer | None = None, vhost: str = "") -> None:
        super().__init__(append_only=True)
        if rabbit is None:
            rabbit = RabbitServer(self._directory())
            self.stack.callback(rabbit.stop)
        self.rabbit = rabbit
        self.vhost = vhost
        self.broker_url = rabbit.url(vhost)

    @property
    def urls(self) -> dict[str, str]:
        return {"broker": self.broker_url, "backend": self.redis.url()}

    def worker(self, kind: str = "python", **settings: Any) -> Any:
        both: dict[str, Any] = {**self.urls, "concurrency": CONCURRENCY, "records": self.log.url(), "tag": kind}
        started: Process
        if kind == "go":
            # Go waits for a task's end before it asks for more, so that its default of 3 would be its concurrency.
            started = GoWorker(self.redis, self.directory, "v2", "goredis", **both, prefetch=CONCURRENCY)
        else:
            if kind != "python":
                settings |= {"app": "sabotaged_tasks:server", "sabotage": kind}
            both["broker"] = self._ours()
            settings.pop("lease", None)
            started = AMQPPythonWorker(self.rabbit, self.redis, self.directory, vhost=self.vhost, **both, **settings)
        self.stack.callback(started.kill)
        return started

    def _ours(self) -> str:
        return f"{self.broker_url}?heartbeat={_HEARTBEAT}"

    def server(self, *, direct: bool = False) -> Server:  # noqa: ARG002
        server = Server(Config.of(broker=self._ours(), result_backend=self.redis.url()))
        self.stack.callback(server.close)
        return server

    def waiting(self) -> int:
        counts = self.rabbit.counts(QUEUE, self.vhost)
        return counts[0] if counts else 0

    def messages(self) -> int:
        """How many messages are in the queue, those in a worker's hands too; it takes a second or two."""
        rows = self.rabbit.listed("queues", "name", "messages", vhost=self.vhost or "/")
        return sum(row["messages"] for row in rows if row["name"] == QUEUE)

    def unsettled(self) -> int:
        return self.messages()

    def dead(self) -> int:
        counts = self.rabbit.counts(f"{QUEUE}.dead", self.vhost)
        return counts[0] if counts else 0

    def settle(self, quiet: float, limit: float = 600.0) -> None:
        began = since = time.monotonic()
        before = -1
        while True:
            now = self.executions()
            if now != before:
                before, since = now, time.monotonic()
            idle = time.monotonic() - since
            if idle > quiet or (idle > 0.5 and self.messages() == 0):
                return
            if time.monotonic() - began > limit:
                raise AssertionError(f"still busy after {limit} s")
            time.sleep(0.1)
