"""From a queue of Celery's to one of Machinery's, one message at a time; nothing is lost when it is killed.

Where both are one Redis, a message is taken out and its translation pushed in one step: it is always in exactly one
of the two. Elsewhere it is sent first and taken out then; killed between, it is sent once more with the same UUID.
What cannot be translated stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gomachinery_py.brokers.kombu import KombuMessage, KombuQueues
from gomachinery_py.compat.celery.app import Celery
from gomachinery_py.compat.celery.binding import RETRIES
from gomachinery_py.compat.celery.canvas import Canvas, Signature
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.compat.celery.waiting import Waiting, label, read
from gomachinery_py.compat.celery.weaving import weave
from gomachinery_py.errors import MachineryError
from gomachinery_py.outgoing import check_signature
from gomachinery_py.wire.model import Signature as Sent

__all__ = ["Translator", "Verdict"]

_PAGE = 100


@dataclass(slots=True)
class Verdict:
    """What becomes of one message: ``refused`` says why it stays, else it goes to ``queue``."""

    name: str
    id: str
    queue: str = ""
    refused: str = ""
    #: Somebody else had taken it when it was to be moved.
    is_gone: bool = False


class Translator:
    """Moves what waits to an app's server.

    Args:
        source: Celery's queues.
        app: knows the signatures of the tasks; one without tasks can translate plain calls only.
        to_queue: where everything goes, also what follows; by default where the app sends it.
        shares_broker: the source is on the very broker of the app's server, so its queue cannot be the target.
    """

    def __init__(
        self, source: KombuQueues, app: Celery, *, to_queue: str | None = None, shares_broker: bool = False
    ) -> None:
        self._source = source
        self._app = app
        self._server = app.server
        self._to_queue = to_queue
        self._shares_broker = shares_broker

    async def translate(
        self, queue: str, report: Callable[[Verdict], object], *, dry_run: bool = False, limit: int = 0
    ) -> None:
        """Tell ``report`` what has become of each message (in a dry run: would become), the next to run first.

        With ``limit`` the first so many. What was only looked at is given back in the end.
        """
        seen = 0
        try:
            for name in await self._source.names(queue):
                stay = 0
                while not limit or seen < limit:
                    count = min(_PAGE, limit - seen) if limit else _PAGE
                    messages = await self._source.waiting(name, stay, count)
                    if not messages:
                        break
                    for message in messages:
                        verdict = await self._judge(message, queue, dry_run=dry_run)
                        seen += 1
                        stay += bool(dry_run or verdict.refused)
                        report(verdict)
        finally:
            await self._source.release()

    async def _judge(self, message: KombuMessage, queue: str, *, dry_run: bool) -> Verdict:
        try:
            waiting = read(message.body, message.properties)
            sent = self._translated(waiting)
            if self._shares_broker and sent.routing_key == queue:
                raise CeleryDifference(f"its target is {queue!r} itself; give another queue with --to")
        except (MachineryError, TypeError, ValueError) as error:
            return Verdict(*label(message.body, message.properties), refused=str(error))
        verdict = Verdict(waiting.name, waiting.id, sent.routing_key)
        if not dry_run:
            verdict.is_gone = not await self._move(message, sent)
        return verdict

    def _translated(self, waiting: Waiting) -> Sent:
        """Machinery's task for a message. Raises what says that there is none."""
        canvas = waiting.canvas
        if self._to_queue is not None:
            _send_to(canvas, self._to_queue)
        plan = weave(canvas, self._app._known)
        [root] = plan.roots
        if waiting.retries:
            if waiting.name not in self._app.tasks:
                raise CeleryDifference(
                    f"it was tried {waiting.retries} times, and only a Python worker with the app's task counts on"
                )
            root.headers = {**(root.headers or {}), RETRIES: str(waiting.retries)}
        return self._server._producer.prepare(check_signature(root, self._server._limits()))

    async def _move(self, message: KombuMessage, sent: Sent) -> bool:
        producer = self._server._producer
        if self._source.is_atomic and self._shares_broker and producer.fused:
            await self._server.broker.check_queue(sent.routing_key)
            return await self._source.remove(message, producer.commands(sent, is_new=True))
        await producer.send_task(sent, is_new=True)
        await self._source.remove(message)
        return True


def _send_to(canvas: Canvas, queue: str) -> None:
    if isinstance(canvas, Signature):
        canvas.options["queue"] = queue
        below = [*canvas.options.get("link", ()), *canvas.options.get("link_error", ())]
    else:
        below = list(canvas.members())
    for each in below:
        _send_to(each, queue)
