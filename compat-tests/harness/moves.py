"""Moves that are killed: tasks with known UUIDs on one side, movers that die, and a checker that counts the other side.

RabbitMQ's messages cannot be read without taking them, so a second queue there is bound to the same routing key and
gets a copy of all that arrives, delayed tasks at their time.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gomachinery_py import Arg, Signature
from gomachinery_py.golang.time import Time, unix_ns
from gomachinery_py.wire import encode_signature
from harness.process import Process, wait_until
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.sqs_server import SQSServer

__all__ = ["Mover", "RabbitEnd", "RedisEnd", "SQSEnd", "Trip", "Verdict"]

VICTIM = Path(__file__).resolve().parent.parent / "moving_victim.py"
QUEUE = "machinery_tasks"
_FILL = 1_000
_END_SECONDS = 300.0


class End(Protocol):
    """A queue of a service."""

    @property
    def url(self) -> str:
        """Of the broker."""
        ...

    def waiting(self) -> int:
        """How many tasks are there to be taken now."""
        ...

    def uuids(self, sent: set[str], timeout: float) -> Counter[str]:
        """What is there, delayed ones too; waits until all that was sent is among it, or for the timeout."""
        ...


class RedisEnd:
    """A queue and the delayed tasks of a Redis."""

    def __init__(self, redis: RedisServer) -> None:
        self.client: Any = redis.client
        self.url = redis.url()

    def fill(self, pending: int, delayed: int, delays: tuple[float, float]) -> set[str]:
        """Put tasks there as a producer writes them; delayed ones are due within ``delays`` seconds."""
        generator = random.Random(pending + delayed)
        uuids: set[str] = set()
        for start in range(0, pending, _FILL):
            signatures = [_task(f"task_{number}") for number in range(start, min(start + _FILL, pending))]
            self.client.rpush(QUEUE, *map(encode_signature, signatures))
            uuids.update(signature.uuid for signature in signatures)
        for number in range(delayed):
            due = Time.from_unix_ns(time.time_ns() + round(generator.uniform(*delays) * 1_000_000_000))
            signature = _task(f"late_{number}", eta=due)
            self.client.zadd("delayed_tasks", {encode_signature(signature): unix_ns(due)})
            uuids.add(signature.uuid)
        return uuids

    def waiting(self) -> int:
        return int(self.client.llen(QUEUE) + self.client.zcard("delayed_tasks"))

    def uuids(self, sent: set[str], timeout: float) -> Counter[str]:  # noqa: ARG002
        return Counter(
            _uuid(body) for body in (*self.client.lrange(QUEUE, 0, -1), *self.client.zrange("delayed_tasks", 0, -1))
        )

    def leftovers(self) -> list[str]:
        """Keys of movers that were not cleared away."""
        return sorted(key.decode() for key in self.client.keys("*gmpy:leaving*") + self.client.keys("*gmpy:movers*"))


class RabbitEnd:
    """A queue in a vhost, and one that gets a copy of everything that arrives."""

    _COPY = "copy"

    def __init__(self, rabbit: RabbitServer, vhost: str) -> None:
        self.rabbit = rabbit
        self.vhost = vhost
        self.url = rabbit.url(vhost)
        with closing(rabbit.connect(vhost).connection) as connection:
            channel = connection.channel()
            channel.exchange_declare("machinery_exchange", "direct", durable=True)
            channel.queue_declare(self._COPY, durable=True)
            channel.queue_bind(self._COPY, "machinery_exchange", "machinery_task")

    def waiting(self) -> int:
        counts = self.rabbit.counts(QUEUE, self.vhost)
        return counts[0] if counts else 0

    def uuids(self, sent: set[str], timeout: float) -> Counter[str]:
        deadline = time.monotonic() + timeout
        found: Counter[str] = Counter()
        with closing(self.rabbit.connect(self.vhost).connection) as connection:
            channel = connection.channel()
            while True:
                method, _, body = channel.basic_get(self._COPY, auto_ack=True)
                if method is not None:
                    found[_uuid(body)] += 1
                elif sent <= found.keys() or time.monotonic() > deadline:
                    return found
                else:
                    connection.sleep(0.1)


class SQSEnd:
    """A queue of an SQS."""

    def __init__(self, sqs: SQSServer) -> None:
        self.sqs = sqs
        self.url = sqs.url
        sqs.create(QUEUE)

    def waiting(self) -> int:
        return self.sqs.counts(QUEUE)[0]

    def uuids(self, sent: set[str], timeout: float) -> Counter[str]:
        found: Counter[str] = Counter()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            messages = self.sqs.receive(QUEUE, wait=1, visibility=600)
            found.update(_uuid(message["Body"].encode()) for message in messages)
            entries = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(messages)]
            if entries:
                self.sqs.client.delete_message_batch(QueueUrl=self.sqs.queue_url(QUEUE), Entries=entries)
            elif sent <= found.keys():
                break
        return found


def _task(uuid: str, **fields: Any) -> Signature:
    return Signature("add", [Arg("int64", 1), Arg("int64", 2)], uuid, routing_key=QUEUE, headers={}, **fields)


def _uuid(body: bytes) -> str:
    return str(json.loads(body)["UUID"])


class Mover(Process):
    """``gomachinery move``; ``kill_at``, ``kill_after`` and ``sabotage`` as in ``moving_victim.py``."""

    def __init__(
        self,
        source: str,
        target: str,
        directory: Path,
        *options: str,
        kill_at: int = 0,
        kill_after: str = "",
        sabotage: str = "",
    ) -> None:
        command = [sys.executable, str(VICTIM), "move", QUEUE, "--broker", source, "--to", target, "--json", *options]
        told = {"GMPY_KILL_AT": str(kill_at or ""), "GMPY_KILL_AFTER": kill_after, "GMPY_SABOTAGE": sabotage}
        super().__init__(command, name="mover", directory=directory, env=told)

    def document(self, timeout: float = _END_SECONDS) -> dict[str, Any] | None:
        """What it printed when it came to its end; None when it was killed. Raises ProcessFailed otherwise."""
        code = self.wait(timeout)
        self._clean_up()
        if code == -9:
            return None
        if code != 0:
            raise self.failed("failed")
        told: dict[str, Any] = json.loads(self.read_line(10))
        return told


@dataclass
class Verdict:
    """What the checker found."""

    tasks: int
    kills: int
    lost: int
    doubled: int
    #: What the movers said may be there twice.
    told: int
    seconds: float

    def rows(self) -> dict[str, Any]:
        return {
            "tasks": self.tasks,
            "kills": self.kills,
            "lost": self.lost,
            "there twice": self.doubled,
            "said to be there twice, at most": self.told,
            "seconds": round(self.seconds, 1),
        }


@dataclass
class Trip:
    """A move from one end to the other by movers of which all but the last one are killed.

    A mover kills itself at a random request, which needs no luck with the time; with ``outside`` the second half of
    them is killed by us, a random moment after a random share of the tasks has left.
    """

    source: RedisEnd | RabbitEnd | SQSEnd
    target: RedisEnd | RabbitEnd | SQSEnd
    directory: Path
    seed: int
    sabotage: str = ""
    options: Sequence[str] = ()
    _kills: int = field(default=0, init=False)

    def run(self, sent: set[str], kills: int, *, after: str = "", outside: bool = False, wait: float = 60.0) -> Verdict:
        """Move it all; ``wait`` is how long the target's delayed tasks may take to turn up.

        ``after``: one more mover before the others kills itself after this step.
        """
        began = time.monotonic()
        if after:
            self._note(self._mover(kill_after=after).document())
        generator = random.Random(self.seed)
        for number in range(kills):
            if outside and number >= kills // 2:
                self._killed_from_outside(generator, kills - number)
            else:
                at = generator.choice((1, -1)) * generator.randint(6, 40 if outside else 30)
                self._note(self._mover(at).document())
        self._note(self._mover().document())
        found = self.target.uuids(sent, wait)
        return Verdict(
            tasks=len(sent),
            kills=self._kills,
            lost=sum(1 for uuid in sent if not found[uuid]),
            doubled=sum(count - 1 for count in found.values()),
            told=self._told(),
            seconds=time.monotonic() - began,
        )

    def _mover(self, kill_at: int = 0, kill_after: str = "") -> Mover:
        urls = self.source.url, self.target.url
        faults = {"kill_after": kill_after, "sabotage": self.sabotage}
        return Mover(*urls, self.directory, *self.options, kill_at=kill_at, **faults)

    def _note(self, document: dict[str, Any] | None) -> None:
        self._kills += document is None

    def _told(self) -> int:
        """What all movers said, those too that were killed later."""
        log = (self.directory / "mover.log").read_text(encoding="utf-8")
        return sum(map(int, re.findall(r"(\d+) tasks had been taken before", log)))

    def _killed_from_outside(self, generator: random.Random, left: int) -> None:
        before = self.source.waiting()
        share = before - generator.randint(1, max(1, 2 * before // (left + 2)))
        mover = self._mover()
        wait_until(lambda: self.source.waiting() <= share or not mover.alive, _END_SECONDS, "tasks that have left")
        time.sleep(generator.uniform(0, 0.02))
        mover.signal(9)
        self._note(mover.document())
