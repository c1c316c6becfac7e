"""What RabbitMQ and Redis allow at all: the leanest possible client, next to Go, for the sends of amqp_throughput.py.

``python -m benchmarks.amqp_floor``; one socket, frames encoded before, nothing but the round trips that a send needs
when it returns after its confirm. No client can have a better ratio to Go on that machine. The servers write to
``DIRECTORY``: a disk by default, which RabbitMQ waits for before it confirms; ``/dev/shm`` is memory.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
import uuid
from collections.abc import Callable

from pika import frame, spec

from benchmarks.amqp_throughput import (
    GROUP,
    QUEUE,
    Figures,
    RabbitServer,
    RedisServer,
    go_rate,
    gobuild,
    print_figures,
    servers,
)

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TASKS = int(os.environ.get("TASKS", "2000"))
CHANNELS = 16
EXCHANGE, KEY = "machinery_exchange", "machinery_task"
ARGUMENTS = {"x-message-ttl": 3_600_000, "x-expires": 3_600_000}
STATE = b"s" * 180
TASK = b"t" * 420

__all__ = ["main"]


class Client:
    """One connection without anything around it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._published = [0] * (CHANNELS + 2)
        self._socket.sendall(b"AMQP\0\0\x09\x01")
        self._answer()
        self.send(frame.Method(0, spec.Connection.StartOk({}, "PLAIN", "\0guest\0guest")))
        self._answer()
        self.send(frame.Method(0, spec.Connection.TuneOk(2047, 131072, 0)))
        self.call(0, spec.Connection.Open("/"))
        for channel in range(1, CHANNELS + 2):
            self.call(channel, spec.Channel.Open())
            self.call(channel, spec.Confirm.Select())

    def close(self) -> None:
        self._socket.close()

    def send(self, *frames: frame.Frame) -> None:
        self.write(b"".join(each.marshal() for each in frames))

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def call(self, channel: int, method: object) -> None:
        """Send a method and wait for its answer."""
        self.send(frame.Method(channel, method))
        self._answer()

    def _answer(self) -> tuple[int, int, bytes]:
        """The next frame's channel, its method, and the whole payload."""
        while len(self._unread) < 7 or len(self._unread) < 8 + struct.unpack_from(">I", self._unread, 3)[0]:
            read = self._socket.recv(1 << 20)
            if not read:
                raise ConnectionError("RabbitMQ has closed the connection")
            self._unread += read
        _, channel, size = struct.unpack_from(">BHI", self._unread)
        payload, self._unread = self._unread[7 : 7 + size], self._unread[8 + size :]
        return channel, struct.unpack_from(">I", payload)[0], payload

    def confirms(self, counts: dict[int, int]) -> None:
        """Wait until so many more messages are confirmed on each of these channels."""
        wanted = {channel: self._published[channel] + count for channel, count in counts.items()}
        alone: dict[int, set[int]] = {channel: set() for channel in counts}
        while wanted:
            channel, method, payload = self._answer()
            if method != spec.Basic.Ack.INDEX:
                raise ConnectionError(f"RabbitMQ says {method:#x}: {payload!r}")
            tag, multiple = struct.unpack_from(">QB", payload, 4)
            if multiple:
                self._published[channel] = max(self._published[channel], tag)
            else:
                alone[channel].add(tag)
            while self._published[channel] + 1 in alone[channel]:
                self._published[channel] += 1
            if self._published[channel] >= wanted.get(channel, 1 << 62):
                del wanted[channel]


def published(channel: int, key: str, body: bytes) -> bytes:
    """A message as Go publishes it, but mandatory."""
    properties = spec.BasicProperties(content_type="application/json", delivery_mode=2)
    method = frame.Method(channel, spec.Basic.Publish(0, EXCHANGE, key, True, False))
    pieces = (method, frame.Header(channel, len(body), properties), frame.Body(channel, body))
    return b"".join(each.marshal() for each in pieces)


def stored(channel: int, name: str) -> bytes:
    """PENDING: a queue of its own, bound, and a message in it."""
    declare = spec.Queue.Declare(0, name, durable=False, auto_delete=True, nowait=True, arguments=ARGUMENTS)
    bind = spec.Queue.Bind(0, name, EXCHANGE, name, nowait=True)
    frames = frame.Method(channel, declare).marshal() + frame.Method(channel, bind).marshal()
    return frames + published(channel, name, STATE)


def new_name() -> str:
    return f"task_{uuid.uuid4()}"


def rate(count: int, send: Callable[[int], None]) -> float:
    began = time.perf_counter()
    send(count)
    return count / (time.perf_counter() - began)


class Sends:
    """Each kind of send at its leanest; a count of tasks to each."""

    def __init__(self, client: Client, redis: socket.socket) -> None:
        self._client = client
        self._redis = redis
        self._task = published(1, KEY, TASK)

    def redis_results(self, count: int) -> None:
        """SET, wait, publish, wait: two round trips."""
        for _ in range(count):
            name = new_name().encode()
            self._redis.sendall(
                b"*5\r\n$3\r\nSET\r\n$41\r\n%b\r\n$180\r\n%b\r\n$2\r\nEX\r\n$4\r\n3600\r\n" % (name, STATE)
            )
            self._redis.recv(100)
            self._client.write(self._task)
            self._client.confirms({1: 1})

    def amqp_results(self, count: int) -> None:
        """Everything in one write, in order on one channel; one wait for both confirms."""
        for _ in range(count):
            self._client.write(stored(1, new_name()) + self._task)
            self._client.confirms({1: 2})

    def many_amqp_results(self, count: int) -> None:
        """200 at a time: their states on 16 channels, since a channel waits for each new queue, then the tasks."""
        for start in range(0, count, 200):
            some = min(200, count - start)
            shares = {channel: len(range(channel - 2, some, CHANNELS)) for channel in range(2, CHANNELS + 2)}
            shares = {channel: share for channel, share in shares.items() if share}
            self._client.write(b"".join(stored(2 + at % CHANNELS, new_name()) for at in range(some)))
            self._client.confirms(shares)
            self._client.write(self._task * some)
            self._client.confirms({1: some})


def measure(rabbit: RabbitServer, redis: RedisServer) -> Figures:
    """Each kind of send, ``ROUNDS`` times, at its leanest and by Go in turn."""
    figures: Figures = {}
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(Client(rabbit.port)))
        where = redis.url().rsplit(":", 1)[1].split("/")[0]
        sends = Sends(client, stack.enter_context(socket.create_connection(("127.0.0.1", int(where)))))
        client.call(1, spec.Exchange.Declare(0, EXCHANGE, "direct", durable=True))
        client.call(1, spec.Queue.Declare(0, QUEUE, durable=True))
        client.call(1, spec.Queue.Bind(0, QUEUE, EXCHANGE, KEY))
        amqp = rabbit.url()
        for _ in range(ROUNDS):
            go_redis = go_rate((amqp, redis.url()), "singles", TASKS)
            go_amqp = go_rate((amqp, amqp), "singles", TASKS // 10)
            go_group = go_rate((amqp, amqp), "group", GROUP)
            for name, send, count, go in (
                ("single sends, results on Redis", sends.redis_results, TASKS, go_redis),
                ("single sends, results on RabbitMQ", sends.amqp_results, TASKS // 10, go_amqp),
                ("many sends, results on RabbitMQ (Go: a group)", sends.many_amqp_results, GROUP, go_group),
            ):
                both = figures.setdefault(name, ([], []))
                both[0].append(rate(count, send))
                both[1].append(go)
            client.call(1, spec.Queue.Purge(0, QUEUE))
    return figures


def main() -> None:
    """Print the table."""
    gobuild.binary("sendbench")
    with servers() as (rabbit, redis):
        figures = measure(rabbit, redis)
    print_figures("RabbitMQ, tasks/s, without a client", "floor", figures)


if __name__ == "__main__":
    main()
