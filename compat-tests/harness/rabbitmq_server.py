"""Real RabbitMQ servers for tests, each a node of its own with an Erlang port mapper of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from harness.redis_server import MISSING, free_port, make_certificate

__all__ = ["RabbitServer"]

# The wrapper on the PATH insists on a user of its own.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
START_SECONDS = 60.0


class RabbitServer:
    """One RabbitMQ node on 127.0.0.1; construct it and it answers.

    Args:
        directory: an existing directory for everything that it writes.
        vhosts: virtual hosts in addition to ``/``.
        tls: listen with TLS too, with a certificate for 127.0.0.1 in ``ca_file``; see ``tls_url``.
        management: with its management plugin, at ``management_url``.
    """

    def __init__(
        self, directory: Path, *, vhosts: Sequence[str] = (), tls: bool = False, management: bool = False
    ) -> None:
        if not (PROGRAMS / "rabbitmq-server").exists():
            raise RuntimeError(MISSING.format("rabbitmq-server", "rabbitmq-server"))
        self.directory = directory
        self.port, self.tls_port = free_port(), free_port() if tls else 0
        self.ca_file: Path | None = None
        node = f"gmpy{uuid.uuid4().hex[:8]}@localhost"
        lines = ["loopback_users = none", "log.console = false", "vm_memory_high_watermark.relative = 0.9"]
        lines += ["disk_free_limit.absolute = 10MB", f"load_definitions = {directory / 'definitions.json'}"]
        (directory / "definitions.json").write_text(json.dumps(_definitions(["/", *vhosts])), encoding="utf-8")
        if tls:
            self.ca_file, key = make_certificate(directory, "IP:127.0.0.1,DNS:localhost")
            lines += [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}", f"ssl_options.cacertfile = {self.ca_file}"]
            lines += [f"ssl_options.certfile = {self.ca_file}", f"ssl_options.keyfile = {key}"]
            lines += ["ssl_options.verify = verify_none"]
        management_port = free_port()
        self.management_url = f"http://127.0.0.1:{management_port}"
        if management:
            lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {management_port}"]
        (directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (directory / "enabled_plugins").write_text(
            "[rabbitmq_management].\n" if management else "[].\n", encoding="utf-8"
        )
        self._environment = os.environ | {
            "HOME": str(directory),
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_PID_FILE": str(directory / "rabbitmq.pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._node: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before if it had one."""
        with (self.directory / f"rabbitmq-{self.port}.log").open("ab") as log:
            # A group of its own: the program is a script that starts the node.
            self._node = subprocess.Popen(
                [PROGRAMS / "rabbitmq-server"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                self.connect().connection.close()
                return
            except (AMQPError, OSError) as error:
                if self._node.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    text = (self.directory / f"rabbitmq-{self.port}.log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"rabbitmq-server did not start: {error!r}\n{text[-3000:]}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop it at once, as a crash does, and its port mapper."""
        if self._node is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait(10)
            self._node = None
        # It ends only when it has noticed that its last node has.
        for _ in range(50):
            ended = subprocess.run(
                ["epmd", "-kill"], env=self._environment, capture_output=True, timeout=10, check=False
            )
            if b"Killed" in ended.stdout or b"Cannot connect" in ended.stdout + ended.stderr:
                return
            time.sleep(0.05)

    def url(self, vhost: str = "") -> str:
        """Its URL as Machinery reads it."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    def tls_url(self) -> str:
        """The same with TLS."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}/"

    def connect(self, vhost: str = "") -> BlockingChannel:
        """A channel on a connection of its own, for the caller to close."""
        parameters = pika.URLParameters(self.url(vhost or "%2F"))
        return pika.BlockingConnection(parameters).channel()

    def counts(self, queue: str, vhost: str = "") -> tuple[int, int] | None:
        """Messages that wait in a queue and its consumers, or None when there is no such queue."""
        with contextlib.closing(self.connect(vhost).connection) as connection:
            try:
                told = connection.channel().queue_declare(queue, passive=True).method
            except AMQPError:
                return None
            return told.message_count, told.consumer_count

    def consumers(self, queue: str, vhost: str = "") -> int:
        """How many consumers a queue has; 0 also when there is no such queue."""
        counts = self.counts(queue, vhost)
        return counts[1] if counts else 0

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` says; it takes a second or two."""
        command = [str(PROGRAMS / "rabbitmqctl"), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)} failed: {done.stderr or done.stdout}")
        return done.stdout

    def listed(self, what: str, *columns: str, vhost: str = "/") -> list[dict[str, Any]]:
        """``rabbitmqctl list_<what>`` as documents."""
        rows: list[dict[str, Any]] = json.loads(
            self.control(f"list_{what}", "--vhost", vhost, "--formatter", "json", "--quiet", *columns)
        )
        return rows

    def close_connections(self, vhost: str = "/") -> None:
        """End every connection to a vhost from the server's side."""
        self.control("close_all_connections", "--vhost", vhost, "a test")


def _definitions(vhosts: Sequence[str]) -> dict[str, Any]:
    """Who may do what; made at the start, since every rabbitmqctl takes a second."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
        "vhosts": [{"name": name} for name in vhosts],
        "permissions": [{"user": "guest", "vhost": name, **everything} for name in vhosts],
    }
