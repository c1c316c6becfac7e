"""RabbitMQ through pika: commands in, replies out.

pika is not safe between threads and has to be served all the time, or the server misses its heartbeats. So each port
has one thread of its own that does nothing else (``amqp_link.py``); tasks may take as long as they like.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

from gomachinery_py.config import Config
from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.ports.amqp_link import Answers, Link
from gomachinery_py.ports.amqp_target import AMQPTarget
from gomachinery_py.urls import AMQPURL

__all__ = ["AMQPPort", "open_port"]


class AMQPPort(Port):
    """One RabbitMQ, or several of which the first that answers is used; shared by threads and event loops."""

    def __init__(self, targets: Sequence[AMQPTarget]) -> None:
        self.targets = tuple(targets)
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._pid = os.getpid()
        # pika tells every mishap several times; whoever asks for something here gets one error for it.
        logger = logging.getLogger("pika")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)

    def _current(self) -> Link:
        if self._pid != os.getpid():
            # The lock too: another thread may have had it when this process was forked, and is not here.
            self._lock, self._link, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._link is None or self._link.ended:
                self._link = Link(self.targets)
            return self._link

    def _observe(self, requests: Sequence[Request]) -> None:
        if self.observer is not None:
            for request in requests:
                for command in request.commands:
                    self.observer(command)

    def _submit(self, requests: Sequence[Request], done: Any) -> Link:
        self._observe(requests)
        while True:
            link = self._current()
            if link.submit([request.commands for request in requests], done):
                return link

    def _at_once(self, requests: Sequence[Request]) -> list[list[Any] | Exception] | None:
        """The answers to requests for which nobody has to wait; None when there are others too.

        A worker asks these of every task, and waiting for the link's thread costs more than the rest.
        """
        link = self._link
        if link is None or link.ended or self._pid != os.getpid():
            return None
        if len(requests) == 1:
            answer = link.publisher.publish(requests[0].commands)
            if answer is not None:
                self._observe(requests)
                return [answer]
        commands = [command for request in requests for command in request.commands]
        if len(commands) == 1 and commands[0][0] == "fetch":
            taken = link.consumers.take(commands[0][1])
            if taken is not None:
                self._observe(requests)
            return None if taken is None else [[taken]]
        acks = []
        for name, fields in commands:
            if name == "basic_ack":
                acks.append(fields["held"])
            elif name != "holds" or not link.consumers.has(fields["held"]):
                return None
        self._observe(requests)
        link.consumers.ack(acks)
        return [[True] * len(request.commands) for request in requests]

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        answers = self._at_once(requests)
        if answers is not None:
            return answers
        answered: SimpleQueue[Answers] = SimpleQueue()
        link = self._submit(requests, answered.put)
        while True:
            try:
                return answered.get(timeout=5.0)
            except Empty:
                if link.ended and answered.empty():
                    return [ServiceUnavailable("RabbitMQ: the connection was closed") for _ in requests]

    async def asend(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answers] = loop.create_future()

        def resolve(answers: Answers) -> None:
            if not future.done():
                future.set_result(answers)

        def done(answers: Answers) -> None:
            try:
                loop.call_soon_threadsafe(resolve, answers)
            except RuntimeError:
                # The event loop has been closed; nobody waits any more.
                pass

        self._submit(requests, done)
        return await future

    def close(self) -> None:
        if self._pid != os.getpid():
            # The connection is the parent's.
            return
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()


def open_port(url: AMQPURL, config: Config) -> AMQPPort:
    """A port to the server of a URL, or to the first one of several that answers; nothing is connected yet."""
    return AMQPPort([AMQPTarget.of(each, config.tlsconfig) for each in (url, *url.more)])
