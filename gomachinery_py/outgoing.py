"""What may be sent: everything that could stop, kill or confuse a worker is refused before anything is written.

Go's producer sends all of this and its workers pay for it: an argument error makes a v2 Redis worker stop consuming
for good, a null callback ends the process, a UUID that is a queue's name destroys that queue. What a worker of ours
refuses on arrival is in ``incoming.py``. Go sources: ``v2/tasks/signature.go``, ``taskSucceeded`` in ``v2/worker.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from gomachinery_py.calls import reflected_name
from gomachinery_py.errors import SignatureError
from gomachinery_py.incoming import (
    MAX_ARGUMENTS,
    MAX_BODY_BYTES,
    MAX_RETRY_TIMEOUT,
    MAX_SIGNATURES,
    brief,
    check_body,
)
from gomachinery_py.outgoing_fields import MAX_NESTING, MAX_RETRIES, FieldChecks, Limits
from gomachinery_py.outgoing_plain import plain_copy
from gomachinery_py.wire.model import Signature

__all__ = [
    "MAX_ARGUMENTS",
    "MAX_BODY_BYTES",
    "MAX_NESTING",
    "MAX_RETRIES",
    "MAX_RETRY_TIMEOUT",
    "MAX_SIGNATURES",
    "Limits",
    "check_body",
    "check_members",
    "check_signature",
]


def check_signature(signature: Signature, limits: Limits, *, in_group: bool = False) -> Signature:
    """A deep copy that is safe to send, its values in their wire form; ``signature`` itself stays as it is.

    ``in_group`` is set for members of a group or chord that is being sent. Raises SignatureError (UnsupportedType for
    a type that Machinery has not), TypeError or ValueError, each naming the task and the field.
    """
    plain = plain_copy(signature, limits, in_group)
    if plain is None:
        return _Walk(limits, in_group).copied(signature)
    _check_call(plain, "root", None)
    return plain


def check_members(group_uuid: str, members: Sequence[Signature]) -> None:
    """Whether these checked members still are one group: each must find the group, and none may overwrite it.

    A Go worker stops when a chord's group is not where its members say. Raises SignatureError.
    """
    taken = {group_uuid}
    for member in members:
        where = f"task {brief(member.name)}"
        if member.group_uuid != group_uuid or member.group_task_count != len(members):
            raise SignatureError(
                f"{where}: group_uuid or group_task_count is no longer what the group has; make a new group"
            )
        if member.uuid and member.uuid in taken:
            raise SignatureError(f"{where}: uuid {brief(member.uuid)!r} is in the group already; give it another UUID")
        taken.add(member.uuid)
    taken.discard("")
    callbacks = list(members)
    for task in callbacks:
        below = [*(task.on_success or ()), *(task.on_error or ())]
        if task.chord_callback is not None:
            below.append(task.chord_callback)
        for callback in below:
            if callback.uuid in taken:
                raise SignatureError(
                    f"task {brief(callback.name)}: uuid {brief(callback.uuid)!r} is that of the group or a member, "
                    "which its state would overwrite; give it another UUID"
                )
        callbacks += below


Role = Literal["root", "OnSuccess", "OnError", "ChordCallback"]


class _Walk:
    """One signature and everything below it, without recursion: a chain may be thousands of tasks deep."""

    def __init__(self, limits: Limits, in_group: bool) -> None:
        self.limits = limits
        self.in_group = in_group
        self.count = 0
        self.uuids: dict[str, str] = {}
        self.queues: set[str] = set()

    def copied(self, signature: Signature) -> Signature:
        root = self.checked(signature, "root", None, 0)
        on_path = {id(signature)}
        stack = [(signature, self.children(signature, root, 0))]
        while stack:
            parent, children = stack[-1]
            found = next(children, None)
            if found is None:
                stack.pop()
                on_path.discard(id(parent))
                continue
            child, role, base, attach = found
            if id(child) in on_path:
                raise SignatureError(
                    f"task {brief(parent.name)}: {role} leads back to {brief(child.name)}, so it would never end"
                )
            copy = self.checked(child, role, parent, base)
            attach(copy)
            on_path.add(id(child))
            stack.append((child, self.children(child, copy, base)))
        for uuid, name in self.uuids.items():
            if uuid in self.queues:
                raise SignatureError(
                    f"task {name}: {brief(uuid)!r} is a queue that this very task uses; give it another UUID"
                )
        return root

    def children(
        self, signature: Signature, copy: Signature, base: int
    ) -> Iterator[tuple[Signature, Role, int, Callable[[Signature], object]]]:
        callbacks: tuple[tuple[Role, list[Signature] | None], ...] = (
            ("OnSuccess", signature.on_success),
            ("OnError", signature.on_error),
        )
        for role, children in callbacks:
            if children is None:
                continue
            copies: list[Signature] = []
            if role == "OnSuccess":
                copy.on_success = copies
            else:
                copy.on_error = copies
            for child in children:
                yield child, role, base + 2, copies.append
        if signature.chord_callback is not None:

            def attach(callback: Signature) -> None:
                copy.chord_callback = callback

            yield signature.chord_callback, "ChordCallback", base + 1, attach

    def checked(self, signature: Signature, role: Role, parent: Signature | None, base: int) -> Signature:
        """A copy of one signature, still with its own callbacks."""
        if not isinstance(signature, Signature):
            raise TypeError(f"a Signature is needed, not {type(signature).__name__}")
        self.count += 1
        if self.count > MAX_SIGNATURES:
            raise SignatureError(f"more than {MAX_SIGNATURES} tasks hang on one; send some of them by themselves")
        check = FieldChecks(signature, self.limits)
        check.texts()
        check.numbers()
        check.flags()
        check.names(self.uuids)
        self.queues.add(signature.routing_key)
        eta_ns = check.eta()
        check.callbacks()
        if role == "root" and self.in_group:
            check.member(eta_ns)
        elif signature.chord_callback is not None:
            raise SignatureError(
                f"{check.where}: chord_callback works in a chord only: without the stored group a Go worker stops; "
                "send it with send_chord"
            )
        args, arg_levels = check.arguments()
        headers, header_levels = check.headers()
        if base + 1 + max(arg_levels, header_levels) > MAX_NESTING:
            raise SignatureError(f"{check.where} is nested deeper than the {MAX_NESTING} levels that Go reads")
        _check_call(signature, role, parent)
        return Signature(
            name=signature.name,
            args=args,
            uuid=signature.uuid,
            routing_key=signature.routing_key,
            eta=_in_whole_minutes(signature.eta),
            group_uuid=signature.group_uuid,
            group_task_count=signature.group_task_count,
            headers=headers,
            priority=signature.priority,
            immutable=signature.immutable,
            retry_count=signature.retry_count,
            retry_timeout=signature.retry_timeout,
            broker_message_group_id=signature.broker_message_group_id,
            sqs_receipt_handle=signature.sqs_receipt_handle,
            stop_task_deletion_on_error=signature.stop_task_deletion_on_error,
            ignore_when_task_not_registered=signature.ignore_when_task_not_registered,
            declared=signature.declared,
        )


def _in_whole_minutes(eta: datetime | None) -> datetime | None:
    """The same moment with an offset that RFC 3339 can write; it has no seconds there, so it would move."""
    offset = None if eta is None else eta.utcoffset()
    return eta if eta is None or offset is None or offset.seconds % 60 == 0 else eta.astimezone(UTC)


def _check_call(signature: Signature, role: Role, parent: Signature | None) -> None:
    """Whether the arguments fit the declared task, as far as it and what Machinery adds are known."""
    parameters = getattr(signature.declared, "parameters", None)
    if parameters is None:
        return
    types = [reflected_name(arg.type) for arg in signature.args or ()]
    why = ""
    if role == "OnError":
        types.insert(0, "string")
        why = "; Machinery puts the error's text before the arguments of an OnError task"
    elif role == "OnSuccess" and parent is not None and not parent.immutable:
        results = getattr(getattr(parent.declared, "results", None), "names", None)
        if results is None:
            return
        types.extend(results)
        why = f"; Machinery appends the results of {brief(parent.name)} to the arguments of its OnSuccess tasks"
    elif role == "ChordCallback":
        return
    refusal = parameters.refusal(0, types)
    if refusal is not None:
        raise SignatureError(f"{refusal}{why}")
