"""The Go producer of go-harness as a child process that takes commands."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gobuild

from harness.go_worker import go_flags
from harness.process import Process
from harness.redis_server import RedisServer
from harness.signatures import Document

__all__ = ["GoError", "GoProducer", "GoTaskFailed", "GoTimeout", "GoValue", "Sent"]

ANSWER_SECONDS = 30.0
_numbers = itertools.count(1)


class GoError(Exception):
    """Machinery refused a call; the text is Go's."""


class GoTaskFailed(Exception):
    """The task ended in FAILURE; the text is what Go's AsyncResult reported."""


class GoTimeout(Exception):
    """Go's AsyncResult had no result in time."""


@dataclass(frozen=True)
class GoValue:
    """One result as a Go producer sees it: Go type, what ``%v`` prints, and the value by way of JSON."""

    type: str
    text: str
    value: Any


@dataclass(frozen=True)
class Sent:
    """What a workflow was sent as."""

    uuids: list[str]
    group_uuid: str = ""
    callback_uuid: str = ""
    all: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """``all``: the UUIDs in the order in which Go's own results wait for them."""
        callback = [self.callback_uuid] if self.callback_uuid else []
        object.__setattr__(self, "all", [*self.uuids, *callback])


class GoProducer(Process):
    """An unmodified Machinery producer.

    Args:
        redis: the server that it sends to.
        directory: an existing directory for its log.
        version: ``v1`` or ``v2``.
        client: Machinery's Redis client, ``redigo`` or ``goredis``.
        settings: further flags of the program: broker, backend, queue, results_expire, delayed_key.
    """

    def __init__(
        self,
        redis: RedisServer,
        directory: Path,
        version: str = "v2",
        client: str = "redigo",
        **settings: str | int,
    ) -> None:
        name = f"go-producer-{version}-{client}-{next(_numbers)}"
        flags = go_flags(redis, version, client, settings)
        super().__init__([gobuild.binary("producer"), *flags], name=name, directory=directory)

    def command(self, op: str, *, seconds: float = ANSWER_SECONDS, **fields: object) -> Any:
        """One command of ``go-harness/internal/produce``; raises GoError with Go's text."""
        self.write_line(json.dumps({"op": op, **fields}))
        answer = json.loads(self.read_line(seconds))
        if "error" in answer:
            raise GoError(answer["error"])
        return answer["ok"]

    def send_task(self, task: Document, *, typed: bool = False, with_context: bool = False) -> str:
        """SendTask; the UUID. ``typed`` turns arguments into real Go values of their types first."""
        sent = self.command("send_task", signature=task, typed=typed, with_context=with_context)
        return str(sent["uuid"])

    def send_chain(self, *tasks: Document, typed: bool = False, with_context: bool = False) -> Sent:
        """NewChain and SendChain."""
        sent = self.command("send_chain", signatures=tasks, typed=typed, with_context=with_context)
        return Sent(sent["uuids"])

    def send_group(
        self, *tasks: Document, concurrency: int = 1, typed: bool = False, with_context: bool = False
    ) -> Sent:
        """NewGroup and SendGroup; with ``concurrency`` 1 members are published in order."""
        flags = {"typed": typed, "with_context": with_context}
        sent = self.command("send_group", signatures=tasks, concurrency=concurrency, **flags)
        return Sent(sent["uuids"], sent["group_uuid"])

    def send_chord(
        self,
        *tasks: Document,
        callback: Document,
        concurrency: int = 1,
        typed: bool = False,
        with_context: bool = False,
    ) -> Sent:
        """NewGroup, NewChord and SendChord."""
        flags = {"typed": typed, "with_context": with_context, "concurrency": concurrency}
        sent = self.command("send_chord", signatures=tasks, callback=callback, **flags)
        return Sent(sent["uuids"], sent["group_uuid"], sent["callback_uuid"])

    def get(self, *uuids: str, timeout: float = 20) -> list[GoValue]:
        """The last task's results, once all are done in turn; GoTaskFailed or GoTimeout otherwise."""
        fields = {"uuids": uuids, "timeout_ms": int(timeout * 1000)}
        outcome = self.command("get", seconds=timeout + 10, **fields)
        if outcome.get("timeout"):
            raise GoTimeout(f"no result of {uuids[-1]} within {timeout} s")
        if "failure" in outcome:
            raise GoTaskFailed(outcome["failure"])
        return [GoValue(value["type"], value["go_text"], value["json"]) for value in outcome["results"]]

    def state(self, uuid: str) -> Document:
        """The stored TaskState."""
        state: Document = self.command("state", uuid=uuid)
        return state

    def group_states(self, group_uuid: str, count: int) -> list[Document]:
        """The stored TaskStates of a group, in TaskUUIDs order."""
        states: list[Document] = self.command("group_states", uuid=group_uuid, count=count)
        return states

    def pending(self, queue: str = "") -> list[Document]:
        """Tasks that wait on a queue."""
        tasks: list[Document] = self.command("pending", queue=queue)
        return tasks

    def delayed(self) -> list[Document]:
        """Tasks that wait for their ETA."""
        tasks: list[Document] = self.command("delayed")
        return tasks
