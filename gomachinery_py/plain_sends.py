"""The quick way to send a declared task: what all sends of it have in common is checked and written once.

A task without options, whose arguments are whole numbers, finite floats, bools or simple text just as declared, differs
from send to send in its UUID, its time and these values. One send goes through everything that ``outgoing.py`` checks
and ``wire`` writes; the texts around those three are kept. Whatever is not that plain goes the whole way, every time.
``tests/test_plain_sends.py`` shows that the commands of both ways are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from gomachinery_py.annotations import type_named
from gomachinery_py.calls import Parameters
from gomachinery_py.effects import Command
from gomachinery_py.errors import MachineryError
from gomachinery_py.golang.time import Time, format_time
from gomachinery_py.incoming import MAX_ARGUMENTS, MAX_BODY_BYTES
from gomachinery_py.outgoing import Limits, check_signature
from gomachinery_py.outgoing_plain import MAX_PLAIN_TEXT, PLAIN_TEXTS, PlainText, has_no_options
from gomachinery_py.producer import Producer
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.workflow import Group

__all__ = ["PlainSends", "TaskText"]

# Texts of MAX_PLAIN_TEXT characters are far below what a message may have if they are no more than this.
_MOST: Final = min(MAX_ARGUMENTS, MAX_BODY_BYTES // (2 * MAX_PLAIN_TEXT))
_UUID: Final = "task_00000000-0000-4000-8000-000000000000"
_is_task_uuid: Final = re.compile(r"task_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_TIME_NS: Final = 1_000_000_000
_TIME: Final = format_time(Time.from_unix_ns(_TIME_NS))


class SentTask(Protocol):
    """What is needed of a declared task."""

    name: str
    parameters: Parameters
    defaults: Any


class PlainSends:
    """The texts of a server's tasks, each made when it is first sent."""

    def __init__(self, producer: Producer, limits: Callable[[], Limits]) -> None:
        self._producer = producer
        self._limits = limits
        self._texts: dict[str, tuple[Any, TaskText | None]] = {}

    def text_of(self, task: SentTask) -> TaskText | None:
        """What all sends of a task have in common; None when each must be looked at."""
        found = self._texts.get(task.name)
        # Whoever gives the task other options gets other texts.
        if found is None or found[0] is not task.defaults:
            found = self._texts[task.name] = (task.defaults, self._made(task))
        return found[1]

    def members_of(self, group: Group, time: str) -> list[list[Command]] | None:
        """What sends each member of a group, the first of it stores PENDING; None when one of them is not plain."""
        texts: dict[str, TaskText | None] = {}
        taken = {group.group_uuid}
        sends: list[list[Command]] = []
        for member in group.tasks:
            task, uuid = member.declared, member.uuid
            if task is None or not has_no_options(member) or member.chord_callback is not None:
                return None
            if task.name not in texts:
                texts[task.name] = self._made(task, group)
            text = texts[task.name]
            if text is None or (member.name, member.routing_key) != (task.name, task.defaults.routing_key or ""):
                return None
            if (member.group_uuid, member.group_task_count) != (group.group_uuid, len(group.tasks)) or uuid in taken:
                return None
            arguments = text.given(member.args)
            if arguments is None or type(uuid) is not str or not _is_task_uuid(uuid):
                return None
            taken.add(uuid)
            sends.append(text.commands(uuid, arguments, time))
        return sends

    def _made(self, task: SentTask, group: Group | None = None) -> TaskText | None:
        sample = Signature(task.name, [], uuid=_UUID)
        if group is not None:
            sample.group_uuid, sample.group_task_count = group.group_uuid, len(group.tasks)
        try:
            checked = check_signature(task.defaults.applied(sample, 0), self._limits(), in_group=group is not None)
            text = TaskText(task.parameters, self._producer.commands_at(checked, Time.from_unix_ns(_TIME_NS)))
            return text if text.is_published or self._producer.fused else None
        except (MachineryError, TypeError, ValueError):
            # What is wrong is said by the whole way, each time that somebody sends it.
            return None


class TaskText:
    """The commands that send one task, as texts with gaps for UUID, time and arguments."""

    def __init__(self, parameters: Parameters, sample: Sequence[Command]) -> None:
        """Made from the commands that send it without arguments. Raises ValueError when they cannot be cut up."""
        kinds = [_text_of(parameter) for parameter in (*parameters.positional, *_rest(parameters))]
        self._positional = kinds[: len(parameters.positional)]
        self._rest = kinds[-1] if parameters.varargs is not None else None
        (set_word, key, document, ex_word, self._seconds), *self._declared, last = sample
        if (set_word, key, ex_word) != ("SET", _UUID, "EX") or last[0] not in ("basic_publish", "RPUSH"):
            raise ValueError("these are no commands that store a state and push a task")
        #: Whether the task is published on RabbitMQ, after what that relies on; otherwise it is pushed on Redis.
        self.is_published = last[0] == "basic_publish"
        body = last[1]["body"] if self.is_published else last[2]
        self._last = last
        self._state_head, self._state_middle, self._state_tail = _cut(document.decode(), _UUID, _TIME)
        self._head, self._middle, self._tail = _cut(body.decode(), _UUID, '"Args":[]')

    def arguments(self, args: Sequence[Any]) -> str | None:
        """The arguments of a call as JSON; None when they are not plain, or not as many as there are parameters."""
        kinds = self._positional
        given = len(args)
        if given != len(kinds):
            if self._rest is None or not len(kinds) < given <= _MOST:
                return None
            kinds = [*kinds, *(self._rest,) * (given - len(kinds))]
        parts = []
        for (head, text), value in zip(kinds, args, strict=True):
            written = text(value)
            if written is None:
                return None
            parts.append(f"{head}{written}}}")
        return f'"Args":[{",".join(parts)}]'

    def given(self, args: Sequence[Arg] | None) -> str | None:
        """:meth:`arguments` of a signature that was composed before; None also when a type is not as declared."""
        kinds = self._positional
        if args is None or len(args) < len(kinds) or len(args) > _MOST:
            return None
        if len(args) > len(kinds):
            if self._rest is None:
                return None
            kinds = [*kinds, *(self._rest,) * (len(args) - len(kinds))]
        parts = []
        for (head, text), arg in zip(kinds, args, strict=True):
            written = text(arg.value)
            if written is None or arg.name or head != _head(arg.type):
                return None
            parts.append(f"{head}{written}}}")
        return f'"Args":[{",".join(parts)}]'

    def commands(self, uuid: str, arguments: str, time: str) -> list[Command]:
        """PENDING and the push; ``time`` is as ``format_time`` writes it."""
        state = f"{self._state_head}{uuid}{self._state_middle}{time}{self._state_tail}".encode()
        body = f"{self._head}{uuid}{self._middle}{arguments}{self._tail}".encode()
        stored = ("SET", uuid, state, "EX", self._seconds)
        if self.is_published:
            return [stored, *self._declared, ("basic_publish", {**self._last[1], "body": body})]
        return [stored, ("RPUSH", self._last[1], body)]


def _rest(parameters: Parameters) -> tuple[Any, ...]:
    return () if parameters.varargs is None else (parameters.varargs,)


def _text_of(parameter: Any) -> tuple[str, PlainText]:
    """What stands before a value of this parameter, and how it is written. Raises ValueError."""
    kind = parameter.type
    text = None if kind is None else PLAIN_TEXTS.get(kind.name)
    # What is not Machinery's own type of that name, such as Json[...], writes its values otherwise.
    if kind is None or text is None or kind is not type_named(kind.name):
        raise ValueError(f"{parameter.name} takes values that are not plain")
    return _head(kind.name), text


def _head(type_name: str) -> str:
    return f'{{"Name":"","Type":"{type_name}","Value":'


def _cut(text: str, *gaps: str) -> list[str]:
    """The pieces of a text between gaps, each of which must be there once, in this order. Raises ValueError."""
    pieces = []
    for gap in gaps:
        before, found, text = text.partition(gap)
        if not found or gap in text:
            raise ValueError(f"{gap!r} is not there once")
        pieces.append(before)
    return [*pieces, text]
