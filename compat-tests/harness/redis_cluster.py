"""A real Redis cluster for tests: three masters, with a replica each where a test fails one over."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import redis

from harness.process import Process, wait_until
from harness.redis_server import MISSING, free_port, make_certificate

__all__ = ["RedisCluster"]

READY_SECONDS = 30.0


class RedisCluster:
    """Three masters on 127.0.0.1; construct it and every slot is served.

    Args:
        directory: an existing directory.
        replicas: replicas of each master, 0 or 1.
        password: of every node.
        tls: speak TLS only, with the certificate ``ca_file``.
    """

    def __init__(self, directory: Path, *, replicas: int = 0, password: str = "", tls: bool = False) -> None:
        self.directory = directory
        self.password = password
        self.ca_file: Path | None = None
        self._key: Path | None = None
        if tls:
            self.ca_file, self._key = make_certificate(directory, "IP:127.0.0.1,DNS:localhost")
        self._processes: dict[int, Process] = {}
        self.ports = [self._started_node() for _ in range(3 * (1 + replicas))]
        self._create(replicas)
        self._client: Any = None
        wait_until(lambda: all(self._whole(port) for port in self.ports), READY_SECONDS, "a whole cluster")
        if replicas:
            wait_until(lambda: len(self.replicas()) == 3, READY_SECONDS, "replicas that are in step")

    def _started_node(self) -> int:
        """The port of a node that answers; another one is started when somebody took its ports just before it did."""
        for _ in range(3):
            port = self._start_node()
            wait_until(partial(self._is_settled, port), READY_SECONDS, "a node")
            if self._processes[port].alive:
                return port
            self._processes.pop(port).stop()
        raise RuntimeError(f"redis-server does not start as a node of a cluster; see its log in {self.directory}")

    def _is_settled(self, port: int) -> bool:
        return self._answers(port) or not self._processes[port].alive

    def _start_node(self) -> int:
        executable = shutil.which("redis-server")
        if executable is None:
            raise RuntimeError(MISSING.format("redis-server", "redis-server"))
        port, bus = free_port(), free_port()
        home = self.directory / str(port)
        home.mkdir()
        ports = ["--port", "0", "--tls-port", str(port)] if self.ca_file else ["--port", str(port)]
        arguments = [*ports, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(home)]
        arguments += ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "1000"]
        arguments += ["--repl-diskless-sync-delay", "0", "--loglevel", "warning"]
        arguments += ["--cluster-replica-validity-factor", "0"]
        if self.password:
            arguments += ["--requirepass", self.password, "--masterauth", self.password]
        if self.ca_file:
            arguments += ["--tls-cert-file", str(self.ca_file), "--tls-key-file", str(self._key)]
            arguments += ["--tls-ca-cert-file", str(self.ca_file), "--tls-auth-clients", "no"]
            arguments += ["--tls-cluster", "yes", "--tls-replication", "yes"]
        self._processes[port] = Process([executable, *arguments], name=f"redis-{port}", directory=home)
        return port

    def node(self, port: int) -> Any:
        """A client of one node, for the caller to close."""
        options: Any = {"ssl": True, "ssl_ca_certs": str(self.ca_file)} if self.ca_file else {}
        return redis.Redis("127.0.0.1", port, password=self.password or None, **options)

    def _answers(self, port: int) -> bool:
        try:
            with self.node(port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _create(self, replicas: int) -> None:
        command = ["redis-cli", "--cluster", "create", *(f"127.0.0.1:{port}" for port in self.ports)]
        command += ["--cluster-replicas", str(replicas), "--cluster-yes"]
        if self.password:
            command += ["-a", self.password, "--no-auth-warning"]
        if self.ca_file:
            command += ["--tls", "--cacert", str(self.ca_file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def _whole(self, port: int) -> bool:
        with self.node(port) as client:
            info = client.execute_command("CLUSTER INFO")
            text = info.decode() if isinstance(info, bytes) else str(info)
        return "cluster_state:ok" in text or ("cluster_state" in text and "'ok'" in text)

    def connect(self, db: int = 0) -> Any:
        """A new client of the whole cluster, for the caller to close; replies are bytes."""
        assert db == 0
        options: Any = {"ssl": True, "ssl_ca_certs": str(self.ca_file)} if self.ca_file else {}
        alive = [port for port in self.ports if self._processes[port].alive]
        return redis.RedisCluster("127.0.0.1", alive[0], password=self.password or None, **options)

    @property
    def client(self) -> Any:
        """One client (``redis.RedisCluster``), kept until the cluster is stopped."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def flush(self) -> None:
        """Remove every key of every master."""
        self.client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)

    def url(self, db: int = 0, *, count: int = 3) -> str:  # noqa: ARG002
        """Several nodes as Machinery reads them."""
        scheme = "rediss" if self.ca_file else "redis"
        password = f"{self.password}@" if self.password else ""
        return f"{scheme}://{password}" + ",".join(f"127.0.0.1:{port}" for port in self.ports[:count])

    def master_of(self, key: str) -> int:
        """The port of the master that has a key."""
        self.client.nodes_manager.initialize()
        return int(self.client.get_node_from_key(key).port)

    def replicas(self) -> list[int]:
        """The ports of the replicas that are in step with their masters."""
        found = []
        for port in self.ports:
            if not self._processes[port].alive:
                continue
            with self.node(port) as client:
                info = client.info("replication")
            if info["role"] == "slave" and info["master_link_status"] == "up":
                found.append(port)
        return found

    def replica_of(self, master: int) -> int:
        """The port of a master's replica."""
        for port in self.replicas():
            with self.node(port) as client:
                if int(client.info("replication")["master_port"]) == master:
                    return port
        raise AssertionError(f"no replica of {master}")

    def kill(self, port: int) -> None:
        """End a node as a crash does."""
        self._processes[port].kill()

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
        for process in self._processes.values():
            process.kill()
