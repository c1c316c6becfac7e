"""Looking into SQS queues and moving dead letters, as far as SQS lets one.

Dead letters of a queue are what SQS has moved to the queue that its redrive policy names, on the same account.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from gomachinery_py.brokers.base import Broker, QueueInfo
from gomachinery_py.effects import Clock, Port
from gomachinery_py.incoming import brief
from gomachinery_py.sqs_commands import BATCH, QueueFacts, SQSHeld, SQSRefused, delete, is_fifo, read_facts, receive

__all__ = ["SQSQueues"]


class SQSQueues(Broker):
    """The half of the SQS broker that no worker needs; ``base`` + ``/`` + queue is a queue's URL."""

    def __init__(self, port: Port, clock: Clock, default_queue: str, base: str) -> None:
        super().__init__(port, clock, default_queue)
        self._base = base

    def _url(self, queue: str) -> str:
        return f"{self._base}/{queue}"

    async def pending(self, queue: str, start: int = 0, count: int = 1000) -> list[bytes]:
        """Raises NotImplementedError, as Go returns an error: whoever looks at a message takes it."""
        raise NotImplementedError(
            "SQS shows no waiting tasks without taking them; 'gomachinery queue ls' says how many there are"
        )

    async def delayed(self, start: int = 0, count: int = 1000) -> list[bytes]:
        """Raises NotImplementedError."""
        raise NotImplementedError(
            "SQS shows no delayed tasks; 'gomachinery queue ls' counts them among those that wait or run"
        )

    async def _ask(self, queue: str) -> QueueFacts:
        command = ("GetQueueAttributes", {"QueueUrl": self._url(queue), "AttributeNames": ["All"]})
        return read_facts((await self.port.execute(command)).get("Attributes") or {})

    async def queues(self, wanted: Sequence[str]) -> list[QueueInfo]:
        """Approximate, as SQS counts. What is delayed counts as waiting; workers are not known. Raises ServiceError."""
        infos = []
        for queue in wanted or [self.default_queue]:
            facts = await self._ask(queue)
            infos.append(QueueInfo(queue, facts.waiting, facts.inflight, await self._count_dead(facts), 0))
        return infos

    async def _count_dead(self, facts: QueueFacts) -> int:
        try:
            return (await self._ask(facts.dead_letters)).waiting if facts.dead_letters else 0
        except SQSRefused:
            # It may be for others to look at.
            return 0

    async def purge(self, queue: str) -> int:
        """About as many as were dropped; SQS takes up to a minute, and does it once a minute at most."""
        waiting = (await self._ask(queue)).waiting
        await self.port.execute(("PurgeQueue", {"QueueUrl": self._url(queue)}))
        return waiting

    async def _dead_letters(self, queue: str) -> str:
        name = (await self._ask(queue)).dead_letters
        if not name:
            raise NotImplementedError(f"SQS keeps no dead letters of {brief(queue)!r}: the queue has no redrive policy")
        return name

    async def dead(self, queue: str, start: int = 0, count: int = 1000) -> list[tuple[bytes, str]]:  # noqa: ARG002
        """Raises NotImplementedError that names the queue they are in."""
        name = await self._dead_letters(queue)
        raise NotImplementedError(
            f"SQS shows no dead letters without taking them; those of {brief(queue)!r} are in the queue {brief(name)!r}"
        )

    async def revive(self, queue: str, count: int) -> int:
        """What SQS has put into the queue of the redrive policy goes back, as it was sent but for its ids."""
        dead = await self._dead_letters(queue)
        revived = 0
        while revived < count:
            _, fields = receive(self._url(dead), min(count - revived, BATCH), 1, None)
            fields["AttributeNames"] = ["All"]
            messages = (await self.port.execute(("ReceiveMessage", fields))).get("Messages") or []
            if not messages:
                break
            for message in messages:
                again: dict[str, Any] = {"MessageBody": message["Body"], "QueueUrl": self._url(queue)}
                if is_fifo(queue):
                    again["MessageDeduplicationId"] = message["MessageId"]
                    again["MessageGroupId"] = message["Attributes"]["MessageGroupId"]
                held = SQSHeld(self._url(dead), message["ReceiptHandle"], message["MessageId"], 0.0)
                await self.port.execute_many([("SendMessage", again), delete(held)])
                revived += 1
        return revived

    async def purge_dead(self, queue: str) -> int:
        return await self.purge(await self._dead_letters(queue))

    async def bury_body(self, queue: str, body: bytes, reason: str) -> None:  # noqa: ARG002
        """To the queue of the redrive policy. Raises NotImplementedError when there is none."""
        target = await self._dead_letters(queue)
        fields: dict[str, Any] = {"MessageBody": body.decode(), "QueueUrl": self._url(target)}
        if is_fifo(target):
            fields |= {"MessageDeduplicationId": str(uuid.uuid4()), "MessageGroupId": "dead"}
        try:
            await self.port.execute(("SendMessage", fields))
        except SQSRefused as error:
            raise NotImplementedError(str(error)) from error
