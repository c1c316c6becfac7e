"""Our own producer behind the methods of ``GoProducer``, so that one test asks both."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gomachinery_py import Arg, Chain, Chord, Config, Group, ResultTimeout, Server, Signature, TaskFailed
from gomachinery_py.golang.json import float32_text
from harness.go_producer import GoTaskFailed, GoTimeout, GoValue, Sent
from harness.python_side import python_signature
from harness.signatures import Document

__all__ = ["AsyncPythonProducer", "PythonProducer"]

T = TypeVar("T")


class PythonProducer:
    """Sends documents, in this process, and waits for results; ``server`` for everything else.

    Args:
        broker: URL of the Redis server.
        queue: default queue.
        delayed_key: Machinery's ``delayed_tasks_key``.
        master_name: the broker's hosts are sentinels that know this name.
    """

    def __init__(self, broker: str, queue: str, delayed_key: str, master_name: str = "") -> None:
        config = Config.of(
            broker=broker,
            result_backend=broker,
            default_queue=queue,
            redis__delayed_tasks_key=delayed_key,
            redis__master_name=master_name,
        )
        self.server = Server(config)
        self._workflows: dict[str, Any] = {}

    def close(self) -> None:
        """Close its connections."""
        self.server.close()

    # -- the two faces --

    def _send(self, name: str, what: Any) -> Any:
        return getattr(self.server, name)(what)

    def _get(self, result: Any, timeout: float) -> Any:
        return result.get(timeout=timeout)

    # -- GoProducer's methods; ``typed`` makes no difference here --

    def send_task(self, task: Document, *, typed: bool = False) -> str:  # noqa: ARG002
        """Send one task; the UUID."""
        result = self._send("send_task", python_signature(task))
        return str(result.uuid)

    def send_chain(self, *tasks: Document, typed: bool = False) -> Sent:  # noqa: ARG002
        """Send a chain."""
        result = self._send("send_chain", Chain(*map(python_signature, tasks)))
        return self._remembered(Sent([member.uuid for member in result.members]), result)

    def send_group(self, *tasks: Document, typed: bool = False) -> Sent:  # noqa: ARG002
        """Send a group."""
        result = self._send("send_group", Group(*map(python_signature, tasks)))
        return Sent([member.uuid for member in result], result.group_uuid)

    def send_chord(self, *tasks: Document, callback: Document, typed: bool = False) -> Sent:  # noqa: ARG002
        """Send a chord."""
        result = self._send("send_chord", Chord(Group(*map(python_signature, tasks)), python_signature(callback)))
        uuids = [member.uuid for member in result.group]
        return self._remembered(Sent(uuids, result.group.group_uuid, result.callback.uuid), result)

    def _remembered(self, sent: Sent, result: Any) -> Sent:
        self._workflows[sent.all[-1]] = result
        return sent

    def get(self, *uuids: str, timeout: float = 60) -> list[GoValue]:
        """The last task's results, by the workflow's own result where there is one; errors as GoProducer's."""
        result = self._workflows.get(uuids[-1]) or self.server.result(uuids[-1])
        try:
            value = self._get(result, timeout)
        except TaskFailed as error:
            raise GoTaskFailed(error.text) from None
        except ResultTimeout as error:
            raise GoTimeout(str(error)) from None
        types = [stored.type for stored in self._stored(uuids[-1])]
        values = [value] if len(types) == 1 else list(value or ())
        return [GoValue(kind, "", _as_json(kind, item)) for kind, item in zip(types, values, strict=True)]

    def _stored(self, uuid: str) -> list[Any]:
        return self.server.result(uuid).results or []

    def state(self, uuid: str) -> Document:
        """The stored state, by Machinery's names as far as tests look at it."""
        state = self.server.result(uuid).state
        return {"TaskUUID": state.task_uuid, "TaskName": state.task_name, "State": state.state, "Error": state.error}

    def pending(self, queue: str) -> list[Document]:
        """Tasks that wait on a queue."""
        return [_told(signature) for signature in self.server.pending(queue)]

    def delayed(self) -> list[Document]:
        """Tasks that wait for their ETA."""
        return [_told(signature) for signature in self.server.delayed()]


class AsyncPythonProducer(PythonProducer):
    """The same by way of ``asend_task``, ``aget`` and the like, on one event loop."""

    def __init__(self, broker: str, queue: str, delayed_key: str, master_name: str = "") -> None:
        super().__init__(broker, queue, delayed_key, master_name)
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.run(self.server.aclose())
        self._runner.close()

    def _send(self, name: str, what: Any) -> Any:
        return self._run(lambda: getattr(self.server, f"a{name}")(what))

    def _get(self, result: Any, timeout: float) -> Any:
        return self._run(lambda: result.aget(timeout=timeout))

    def _stored(self, uuid: str) -> list[Any]:
        return self._run(lambda: self.server.result(uuid).astate()).results or []

    def state(self, uuid: str) -> Document:
        state = self._run(lambda: self.server.result(uuid).astate())
        return {"TaskUUID": state.task_uuid, "TaskName": state.task_name, "State": state.state, "Error": state.error}

    def pending(self, queue: str) -> list[Document]:
        async def read() -> list[Document]:
            return [_told(signature) async for signature in self.server.apending(queue)]

        return self._run(read)

    def delayed(self) -> list[Document]:
        async def read() -> list[Document]:
            return [_told(signature) async for signature in self.server.adelayed()]

        return self._run(read)

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._runner.run(call())


def _as_json(kind: str, value: Any) -> Any:
    """A result as ``GoValue.value`` has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if kind == "float32":
        return float(float32_text(value))
    return [_as_json(kind[2:], item) for item in value] if isinstance(value, list) else value


def _told(signature: Signature) -> Document:
    def told(argument: Arg) -> Document:
        return {"Name": argument.name, "Type": argument.type, "Value": argument.value}

    return {"UUID": signature.uuid, "Name": signature.name, "Args": [told(each) for each in signature.args or ()]}
