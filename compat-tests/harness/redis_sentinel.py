"""A real sentinel for tests, with a master and a replica."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import redis

from harness.process import Process, wait_until
from harness.redis_server import MISSING, free_port, make_certificate

__all__ = ["MASTER_NAME", "RedisSentinel"]

READY_SECONDS = 30.0
MASTER_NAME = "mymaster"


class RedisSentinel:
    """A master, a replica and one sentinel with a quorum of 1 on 127.0.0.1.

    Args:
        directory: an existing directory.
        password: of master and replica.
        sentinel_password: of the sentinel.
        tls: all three speak TLS only, with the certificate ``ca_file``.
    """

    def __init__(self, directory: Path, *, password: str = "", sentinel_password: str = "", tls: bool = False) -> None:
        executable = shutil.which("redis-server")
        if executable is None:
            raise RuntimeError(MISSING.format("redis-server", "redis-server"))
        self.directory = directory
        self.password = password
        self.sentinel_password = sentinel_password
        self.ca_file: Path | None = None
        self._key: Path | None = None
        if tls:
            self.ca_file, self._key = make_certificate(directory, "IP:127.0.0.1,DNS:localhost")
        self._processes: dict[int, Process] = {}
        self.ports = [free_port(), free_port()]
        self.sentinel_port = free_port()
        for port in self.ports:
            extra = ["--replicaof", "127.0.0.1", str(self.ports[0])] if port != self.ports[0] else []
            if password:
                extra += ["--requirepass", password, "--masterauth", password]
            self._start(executable, port, ["--save", "", "--repl-diskless-sync-delay", "0", *extra])
            wait_until(lambda port=port: self._answers(port), READY_SECONDS, "a server")  # type: ignore[misc]
        wait_until(self.in_step, READY_SECONDS, "a replica that is in step")
        config = directory / "sentinel.conf"
        lines = [f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self.ports[0]} 1"]
        lines += [f"sentinel down-after-milliseconds {MASTER_NAME} 700"]
        lines += [f"sentinel failover-timeout {MASTER_NAME} 5000"]
        lines += [f"sentinel auth-pass {MASTER_NAME} {password}"] if password else []
        lines += [f"requirepass {sentinel_password}"] if sentinel_password else []
        config.write_text("\n".join(lines) + "\n")
        self._start(executable, self.sentinel_port, ["--sentinel"], config)
        wait_until(self._sees_replica, READY_SECONDS, "a sentinel that knows the replica")

    def _start(self, executable: str, port: int, arguments: list[str], config: Path | None = None) -> None:
        home = self.directory / str(port)
        home.mkdir()
        ports = ["--port", "0", "--tls-port", str(port)] if self.ca_file else ["--port", str(port)]
        everyone = [*ports, "--bind", "127.0.0.1", "--dir", str(home), "--loglevel", "warning", *arguments]
        if self.ca_file:
            everyone += ["--tls-cert-file", str(self.ca_file), "--tls-key-file", str(self._key)]
            everyone += ["--tls-ca-cert-file", str(self.ca_file)]
            everyone += ["--tls-auth-clients", "no", "--tls-replication", "yes"]
        command = [executable, *([str(config)] if config else []), *everyone]
        self._processes[port] = Process(command, name=f"redis-{port}", directory=home)

    def connect(self, db: int = 0) -> Any:
        """A client of the master, for the caller to close; replies are bytes."""
        assert db == 0
        return self.node(self.master)

    def node(self, port: int) -> Any:
        """A client of one of the three, for the caller to close."""
        password = self.sentinel_password if port == self.sentinel_port else self.password
        options: Any = {"ssl": True, "ssl_ca_certs": str(self.ca_file)} if self.ca_file else {}
        return redis.Redis("127.0.0.1", port, password=password or None, **options)

    def _answers(self, port: int) -> bool:
        try:
            with self.node(port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def in_step(self) -> bool:
        """Whether the second server follows the first."""
        with self.node(self.ports[1]) as client:
            info = client.info("replication")
        return bool(info["role"] == "slave" and info["master_link_status"] == "up")

    def _sees_replica(self) -> bool:
        if not self._answers(self.sentinel_port):
            return False
        with self.node(self.sentinel_port) as client:
            return int(client.sentinel_master(MASTER_NAME)["num-slaves"]) == 1

    @property
    def master(self) -> int:
        """The master's port, as the sentinel has it."""
        with self.node(self.sentinel_port) as client:
            _, port = client.sentinel_get_master_addr_by_name(MASTER_NAME)
        return int(port)

    def url(self, db: int = 0) -> str:  # noqa: ARG002
        """The sentinel as Machinery reads it; Go's v1 needs a comma, so it is named twice."""
        scheme = "rediss" if self.ca_file else "redis"
        password = f"{self.password}@" if self.password else ""
        return f"{scheme}://{password}127.0.0.1:{self.sentinel_port},127.0.0.1:{self.sentinel_port}"

    def kill(self, port: int) -> None:
        """End a server as a crash does."""
        self._processes[port].kill()

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
