"""Real Redis servers for tests: plain, with password, with an ACL user, on a unix socket, with TLS."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from harness.process import Process

__all__ = ["RedisServer", "make_certificate"]

MISSING = "{} is missing; run scripts/setup-tests (Debian and Ubuntu: apt-get install {})"
START_SECONDS = 20.0


class RedisServer:
    """One ``redis-server`` on 127.0.0.1; construct it and it answers.

    Args:
        directory: an existing directory for its log, socket and certificate.
        password: what ``requirepass`` gets; empty for none.
        user: name and password of an ACL user, who may do everything; the default user is then switched off.
        unix_socket: listen on a unix socket as well.
        tls: speak TLS only, with a certificate for 127.0.0.1 in ``ca_file``; its key is beside it in ``key_file``.
        tls_name: whom the certificate is for, if not for 127.0.0.1.
        tls_clients: clients must show a certificate too; this server's own is one.
        append_only: every write is on disk before it is answered, so that it outlives ``stop`` and ``start``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        password: str = "",
        user: tuple[str, str] | None = None,
        unix_socket: bool = False,
        tls: bool = False,
        tls_name: str = "IP:127.0.0.1,DNS:localhost",
        tls_clients: bool = False,
        append_only: bool = False,
    ) -> None:
        self.directory = directory
        self.password = password
        self.user = user
        self.tls = tls
        self.tls_name = tls_name
        self.tls_clients = tls_clients
        self.append_only = append_only
        self.port = 0
        self.socket_path = directory / "redis.sock" if unix_socket else None
        self.ca_file: Path | None = None
        self.key_file: Path | None = None
        if tls:
            self.ca_file, self.key_file = make_certificate(directory, tls_name)
        self._client: redis.Redis | None = None
        self._process: Process | None = None
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before if it had one."""
        executable = shutil.which("redis-server")
        if executable is None:
            raise RuntimeError(MISSING.format("redis-server", "redis-server"))
        again = self.port != 0
        for attempt in range(5):
            # Between asking for a free port and binding it another process may take it.
            if not again:
                self.port = free_port()
            process = Process([executable, *self._arguments()], name=f"redis-{self.port}", directory=self.directory)
            if self._answers(process):
                self._process = process
                return
            output = process.read_line(1) if not process.alive else ""
            process.kill()
            if attempt == 4:
                raise RuntimeError(f"redis-server did not start: {output}\n{process.log[-2000:]}")

    def _arguments(self) -> list[str]:
        port = ["--port", "0", "--tls-port", str(self.port)] if self.tls else ["--port", str(self.port)]
        arguments = [*port, "--bind", "127.0.0.1", "--save", ""]
        arguments += ["--appendonly", "yes", "--appendfsync", "always"] if self.append_only else ["--appendonly", "no"]
        arguments += ["--dir", str(self.directory), "--loglevel", "warning"]
        if self.password:
            arguments += ["--requirepass", self.password]
        if self.user:
            name, password = self.user
            arguments += ["--user", name, "on", f">{password}", "~*", "&*", "+@all"]
            arguments += ["--user", "default", "off"]
        if self.socket_path:
            arguments += ["--unixsocket", str(self.socket_path)]
        if self.tls:
            arguments += ["--tls-cert-file", str(self.ca_file), "--tls-key-file", str(self.key_file)]
            arguments += ["--tls-ca-cert-file", str(self.ca_file)]
            arguments += ["--tls-auth-clients", "yes" if self.tls_clients else "no"]
        return arguments

    def _answers(self, process: Process) -> bool:
        """Whether the server that answers on the port is the one just started."""
        deadline = time.monotonic() + START_SECONDS
        while process.alive and time.monotonic() < deadline:
            try:
                with self.connect() as client:
                    info: dict[str, Any] = client.info("server")
                    return bool(info["process_id"] == process.pid)
            except redis.RedisError:
                time.sleep(0.01)
        return False

    def url(self, db: int = 0) -> str:
        """Its URL as Machinery reads it, with user and password if it has them."""
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{self._credentials()}127.0.0.1:{self.port}" + (f"/{db}" if db else "")

    def socket_url(self, db: int = 0) -> str:
        """Its unix socket as Machinery reads it: ``redis+socket://[password@]path:/db``."""
        assert self.socket_path is not None, "this server has no unix socket"
        password = f"{self.password}@" if self.password else ""
        return f"redis+socket://{password}{self.socket_path}:/{db}"

    def _credentials(self) -> str:
        if self.user:
            return f"{quote(self.user[0], safe='')}:{quote(self.user[1], safe='')}@"
        return f"{quote(self.password, safe='')}@" if self.password else ""

    def connect(self, db: int = 0, *, silence: bool = False) -> redis.Redis:
        """A new client, for the caller to close; replies are bytes. With ``silence`` it waits for them without end."""
        options: dict[str, Any] = {}
        if self.tls:
            options = {"ssl": True, "ssl_ca_certs": str(self.ca_file), "ssl_cert_reqs": ssl.CERT_REQUIRED}
            options |= {"ssl_check_hostname": False}
            if self.tls_clients:
                options |= {"ssl_certfile": str(self.ca_file), "ssl_keyfile": str(self.key_file)}
        if silence:
            options["socket_timeout"] = None
        name, password = self.user if self.user else (None, self.password or None)
        return redis.Redis("127.0.0.1", self.port, db, username=name, password=password, **options)

    @property
    def client(self) -> Any:
        """One client (``redis.Redis``) of database 0, kept until the server is stopped; replies are bytes.

        Any, because redis-py's annotations say ``bytes | str`` for every reply.
        """
        if self._client is None:
            self._client = self.connect()
        return self._client

    @property
    def pid(self) -> int:
        assert self._process is not None, "this server is stopped"
        return self._process.pid

    def flush(self) -> None:
        """Remove every key of every database."""
        self.client.flushall()

    def stop(self) -> None:
        """Stop it at once, as a crash does. ``start`` brings it back on the same port, empty unless append-only."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.kill()
            self._process = None


# Not the module's own numbers: whoever seeds those would give two processes the same ports.
_random = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    Below those that the system gives to connections: one of them could take it before the server does.
    """
    while True:
        port = _random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def make_certificate(directory: Path, names: str) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key; made once per directory. ``names`` as OpenSSL has it."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    if not certificate.exists():
        executable = shutil.which("openssl")
        if executable is None:
            raise RuntimeError(MISSING.format("openssl", "openssl"))
        command = [executable, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-nodes", "-days", "2", "-subj", "/CN=gomachinery-py tests"]
        command += ["-addext", f"subjectAltName={names}"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key
