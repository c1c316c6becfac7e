"""Every way to a Redis server: passwords, users, unix socket, database, TLS; and what is refused, and how it reads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.redis_server import RedisServer, free_port
from harness.signatures import signature

from gomachinery_py import Config, Server
from gomachinery_py.config import TLSConfig
from gomachinery_py.errors import ServiceError, ServiceUnavailable

TIMEOUT = 60
SECRET = "pä$$/w@rd:%#"
KINDS: dict[str, dict[str, Any]] = {
    "password": {"password": SECRET},
    "user": {"user": ("alice@home", SECRET)},
    "tls": {"tls": True},
    "tls-password": {"tls": True, "password": SECRET},
    "tls-user": {"tls": True, "user": ("alice", SECRET)},
}


def connect(url: str, **tls: Any) -> Server:
    """A server of ours; ``tls`` are the fields of TLSConfig."""
    tlsconfig = TLSConfig()
    for name, value in tls.items():
        setattr(tlsconfig, name, str(value) if isinstance(value, Path) else value)
    settings = Config.of(broker=url, result_backend=url, tlsconfig=tlsconfig, redis__connect_timeout=2)
    return Server(settings)


def add(server: Server, *numbers: int) -> Any:
    """What the test task ``add`` makes of some numbers."""
    task = server.tasks.get("add") or server.remote("add")(_add)
    return task.send(*numbers).get(TIMEOUT)


def _add(*numbers: int) -> int:
    raise NotImplementedError


def refusal(server: Server) -> str:
    """The error of a send that cannot reach its server."""
    with server, pytest.raises(ServiceUnavailable) as caught:
        add(server, 1)
    return str(caught.value)


async def asend(server: Server) -> None:
    """One send by the other face."""
    async with server:
        await server.remote("add")(_add).asend(1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_login(
    kind: str,
    make_redis: Callable[..., RedisServer],
    python_worker: Callable[..., Any],
    go_producer: Callable[..., Any],
) -> None:
    """Our producer, our worker and a Go producer meet on a server that asks for more than an address."""
    redis = make_redis(**KINDS[kind])
    worker, go = python_worker(redis=redis), go_producer(redis=redis)

    with connect(redis.url(), ca_file=redis.ca_file or "") as server:
        assert add(server, 1, 2) == 3
    uuid = go.send_task(signature("add", ("int64", 2), ("int64", 3)))

    assert [result.value for result in go.get(uuid, timeout=TIMEOUT)] == [5]
    assert SECRET not in worker.log


@pytest.mark.parametrize("kind", ["password", "user"])
def test_a_wrong_login_is_refused(kind: str, make_redis: Callable[..., RedisServer]) -> None:
    """No password and a wrong one are a login that was refused; neither password is told."""
    redis = make_redis(**KINDS[kind])

    for url in (f"redis://127.0.0.1:{redis.port}", f"redis://alice:wr0ng@127.0.0.1:{redis.port}"):
        text = refusal(connect(url))
        assert "refused the login: check user and password" in text
        assert f"127.0.0.1:{redis.port}" in text
        assert "wr0ng" not in text


def test_a_user_who_may_not(make_redis: Callable[..., RedisServer]) -> None:
    """A user without the right to write gets the server's reason, not a connection error."""
    redis = make_redis()
    redis.client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection")

    with (
        connect(f"redis://reader:pw@127.0.0.1:{redis.port}") as server,
        pytest.raises(ServiceError, match="no permissions"),
    ):
        add(server, 1)


@pytest.mark.parametrize("password", ["", "secret"])
def test_unix_socket(
    password: str,
    make_redis: Callable[..., RedisServer],
    python_worker: Callable[..., Any],
    go_producer: Callable[..., Any],
) -> None:
    """A socket's URL with password and database is read as Go reads it."""
    redis = make_redis(unix_socket=True, password=password)
    url = redis.socket_url(3)
    python_worker(redis=redis, broker=url, db=3)

    with connect(url) as server:
        assert add(server, 1, 2) == 3
    for version in ("v1", "v2"):
        go = go_producer(version, redis=redis, broker=url)
        uuid = go.send_task(signature("add", ("int64", 4)))
        assert [result.value for result in go.get(uuid, timeout=TIMEOUT)] == [4]
    assert redis.client.dbsize() == 0


def test_database(redis_server: RedisServer, python_worker: Callable[..., Any], go_worker: Callable[..., Any]) -> None:
    """Everything of a fleet is in the database that its URL names, ours and Go's alike."""
    python_worker(db=5)
    go_worker("v1", broker=redis_server.url(7))

    for db in (5, 7):
        with connect(redis_server.url(db)) as server:
            assert add(server, db, 1) == db + 1
        with redis_server.connect(db) as client:
            assert client.dbsize() > 0
    assert redis_server.client.dbsize() == 0


def test_a_trusted_authority(
    make_redis: Callable[..., RedisServer],
    python_worker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The authority comes from SSL_CERT_FILE or from ``ca_file``; without either the server is not trusted."""
    redis = make_redis(tls=True)
    python_worker(redis=redis)

    untrusted = refusal(connect(redis.url()))
    with connect(redis.url(), ca_file=redis.ca_file) as server:
        assert add(server, 1) == 1
    with connect(redis.url(), insecureskipverify=True) as server:
        assert add(server, 2) == 2
    monkeypatch.setenv("SSL_CERT_FILE", str(redis.ca_file))
    with connect(redis.url()) as server:
        assert add(server, 3) == 3

    assert "certificate verify failed" in untrusted
    assert f"rediss://127.0.0.1:{redis.port}" in untrusted


def test_a_wrong_authority_and_a_wrong_host(make_redis: Callable[..., RedisServer]) -> None:
    """A certificate of another authority, or for another host, is refused with the reason."""
    redis, other = make_redis(tls=True), make_redis(tls=True, tls_name="DNS:elsewhere.example")

    assert "certificate verify failed" in refusal(connect(redis.url(), ca_file=other.ca_file))
    text = refusal(connect(other.url(), ca_file=other.ca_file))
    assert "certificate verify failed" in text
    assert "127.0.0.1" in text
    assert other.client.dbsize() == 0


def test_the_name_of_a_server(make_redis: Callable[..., RedisServer]) -> None:
    """``servername`` is whom the certificate must be for, on both faces: Go's ``ServerName``."""
    redis = make_redis(tls=True, tls_name="DNS:elsewhere.example")
    named = {"ca_file": redis.ca_file, "servername": "elsewhere.example"}

    with connect(redis.url(), **named) as server:
        server.remote("add")(_add).send(1)
    asyncio.run(asend(connect(redis.url(), **named)))

    assert redis.client.llen("machinery_tasks") == 2
    assert "certificate verify failed" in refusal(connect(redis.url(), **{**named, "servername": "other.example"}))


def test_a_certificate_for_clients(make_redis: Callable[..., RedisServer]) -> None:
    """A server that wants to see a client's certificate takes ours, and nobody without one."""
    redis = make_redis(tls=True, tls_clients=True)

    with connect(redis.url(), ca_file=redis.ca_file, cert_file=redis.ca_file, key_file=redis.key_file) as server:
        server.remote("add")(_add).send(1)
    assert "cannot reach Redis" in refusal(connect(redis.url(), ca_file=redis.ca_file))
    assert redis.client.llen("machinery_tasks") == 1


def test_plain_text_and_tls_do_not_mix(make_redis: Callable[..., RedisServer]) -> None:
    """``rediss://`` to a plain server and ``redis://`` to a TLS one are refused in the time for connecting."""
    plain, tls = make_redis(), make_redis(tls=True)
    began = time.monotonic()

    assert "cannot reach Redis at rediss://" in refusal(connect(f"rediss://127.0.0.1:{plain.port}"))
    assert "cannot reach Redis at redis://" in refusal(connect(f"redis://127.0.0.1:{tls.port}"))
    with pytest.raises(ServiceUnavailable, match="cannot reach Redis at rediss://"):
        asyncio.run(asend(connect(f"rediss://127.0.0.1:{plain.port}")))
    # Half of what two attempts at reading would take.
    assert time.monotonic() - began < 15


@pytest.fixture
def eavesdropper() -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers nothing and keeps every byte that it was sent: its port, and the bytes."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            # Closing the listener ends it.
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.settimeout(0.5)
                        with contextlib.suppress(OSError):
                            while chunk := client.recv(65536):
                                heard.append(chunk)

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize("tls", [{}, {"insecureskipverify": True}])
def test_no_plain_byte(tls: dict[str, bool], eavesdropper: tuple[int, list[bytes]]) -> None:
    """With ``rediss://`` nothing but a TLS handshake is sent before the server has proved itself."""
    port, heard = eavesdropper

    text = refusal(connect(f"rediss://alice:s3cret@127.0.0.1:{port}", **tls))

    assert heard
    # A TLS record that holds a handshake: 0x16, version 3.x.
    assert [chunk[:2] for chunk in heard] == [b"\x16\x03"] * len(heard)
    assert not any(word in b"".join(heard) for word in (b"s3cret", b"AUTH", b"HELLO", b"PING"))
    assert "s3cret" not in text


def test_nothing_listens() -> None:
    """The URL, without its password, and what to look at are in one line."""
    port = free_port()

    text = refusal(connect(f"redis://alice:s3cret@127.0.0.1:{port}"))

    assert f"redis://***@127.0.0.1:{port}" in text
    assert text.endswith("Is it running, and is the URL right?")
    assert "\n" not in text


@pytest.fixture
def forwarder() -> Iterator[tuple[int, list[int]]]:
    """An address of which connections lead to a server, new ones perhaps to another: its port, and the server's."""
    target = [0]

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source, sink:
            while chunk := source.recv(65536):
                sink.sendall(chunk)

    def listen(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", target[0]))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=forward, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1], target
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize("face", ["blocking", "asyncio"])
def test_an_address_that_leads_to_another_master(
    face: str, make_redis: Callable[..., RedisServer], forwarder: tuple[int, list[int]]
) -> None:
    """Connections to a master that became a replica are given up: new ones lead to the one that is master now."""
    (port, target), first, second = forwarder, make_redis(), make_redis()
    target[0] = first.port
    with Server(f"redis://127.0.0.1:{port}") as server, asyncio.Runner() as runner:
        task = server.task("add")(_sum)

        def send(number: int) -> Any:
            return task.send(number) if face == "blocking" else runner.run(task.asend(number))

        send(1)
        target[0] = second.port
        first.client.replicaof("127.0.0.1", second.port)
        with pytest.raises(ServiceUnavailable, match="read only"):
            send(2)
        sent = [send(number) for number in (3, 4)]
        with server.worker(concurrency=1):
            assert [result.get(TIMEOUT) for result in sent] == [3, 4]
        runner.run(server.aclose())


def _sum(*numbers: int) -> int:
    return sum(numbers)


def test_more_sends_at_a_time_than_connections(redis_server: RedisServer) -> None:
    """On an event loop, where each send under way has a connection of its own, the others wait for one."""
    url = redis_server.url()

    async def send() -> list[Any]:
        async with Server(Config.of(broker=url, result_backend=url, redis__max_active=2)) as server:
            task = server.remote("add")(_add)
            return await asyncio.gather(*(task.asend(number) for number in range(50)), return_exceptions=True)

    sent = asyncio.run(send())

    assert [result for result in sent if isinstance(result, BaseException)] == []
    assert redis_server.client.llen("machinery_tasks") == 50


def test_event_loops_that_nobody_closes_anything_in(redis_server: RedisServer) -> None:
    """One after the other they leave no connections behind, however many they are."""
    program = f"""
import asyncio, os
from gomachinery_py import Server
server = Server({redis_server.url()!r})
task = server.remote("add")(lambda *numbers: 0)
async def send():
    await asyncio.gather(task.asend(), task.asend())
def count():
    asyncio.run(send())
    return len(os.listdir("/proc/self/fd"))
print(len({{count() for _ in range(20)}}))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert (told.stdout, told.stderr) == ("1\n", "")


def test_a_plain_password_to_another_host_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """A password in plain text to another machine is a warning that names the remedy, not the password."""
    with caplog.at_level(logging.WARNING):
        connect("redis://alice:s3cret@redis.example:6379").close()
        connect("redis://alice:s3cret@127.0.0.1:6379").close()

    [record] = caplog.records
    assert "rediss://" in record.getMessage()
    assert "s3cret" not in caplog.text
