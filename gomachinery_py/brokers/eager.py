"""The eager broker: a task runs inside the send.

Go source: ``v2/brokers/eager/eager.go``. As there, the signature is encoded and decoded on the way, so that what
would not survive the wire does not survive here either.

===============================  ============================================
a message that                   here
===============================  ============================================
cannot be decoded                cannot occur: it was encoded a moment before
is not registered                raises TaskNotRegistered; Go drops it, and whoever waits for it waits for ever
failed                           FAILURE is in the result store; the send does not raise
===============================  ============================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import PublishError, TaskNotRegistered
from gomachinery_py.wire import decode_signature, encode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["EagerBroker"]


class EagerBroker(Broker):
    """Hands every published task straight to the engine that was assigned to it."""

    is_eager = True
    why_no_cancel = "it runs tasks when they are sent"

    def __init__(self, port: Port, clock: Clock, default_queue: str) -> None:
        super().__init__(port, clock, default_queue)
        self._process: Callable[[Delivery], Awaitable[None]] | None = None

    def assign(self, process: Callable[[Delivery], Awaitable[None]]) -> None:
        """Say who runs the tasks (Go: ``eager.Mode.AssignWorker``)."""
        self._process = process

    def publish_commands(self, signature: Signature) -> list[Command]:
        raise PublishError(f"task {signature.uuid}: the eager broker has no commands; it runs the task")

    async def publish(self, signature: Signature) -> None:
        if self._process is None:
            raise PublishError("worker is not assigned in eager-mode")
        await self._process(Delivery(signature.routing_key, encode_signature(signature)))

    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:  # noqa: ARG002
        return []

    async def settle(self, delivery: Delivery) -> bool:  # noqa: ARG002
        return True

    async def requeue(self, delivery: Delivery) -> None:
        """There is no queue to go back to."""
        name = decode_signature(delivery.body).name
        raise TaskNotRegistered(
            f"task {name!r} is not declared on this server, and the eager broker has no other worker for it: "
            "declare it with @server.task, or send it over a real broker"
        )

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing is ever taken and not begun."""

    async def bury(self, delivery: Delivery, reason: str) -> None:
        raise PublishError(f"the eager broker cannot run {delivery.body[:80]!r}: {reason}")

    async def bury_body(self, queue: str, body: bytes, reason: str) -> None:  # noqa: ARG002
        raise PublishError(f"the eager broker cannot run {body[:80]!r}: {reason}")

    async def pending(self, queue: str, start: int = 0, count: int = 1000) -> list[bytes]:  # noqa: ARG002
        return []

    async def delayed(self, start: int = 0, count: int = 1000) -> list[bytes]:  # noqa: ARG002
        return []

    async def check(self) -> None:
        """Nothing to reach."""
