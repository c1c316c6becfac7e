"""Tasks that wait, and what becomes of them when a worker takes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from gomachinery_py.doctor.findings import PROBLEM, WARNING, Finding, Fleet
from gomachinery_py.errors import ArgumentError, SignatureError, WireError
from gomachinery_py.incoming import brief, reject_reason
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature
from gomachinery_py.wire.reflect import reflect_args

__all__ = ["judge_messages"]


@dataclass(slots=True)
class _Kind:
    """Messages that have the same thing wrong with them: how many, and the first of them."""

    example: str
    count: int = 0


def judge_messages(
    fleet: Fleet, where: str, bodies: Iterable[bytes], is_reserved: Callable[[str], bool], queues: Collection[str]
) -> list[Finding]:
    """What is wrong with tasks that wait in a queue; one finding for each kind of it."""
    kinds: dict[str, _Kind] = {}
    unregistered: dict[str, int] = {}
    for body in dict.fromkeys(bodies):
        try:
            signature = decode_signature(body)
        except WireError as error:
            _count(kinds, "undecodable", f"{brief(body.decode('utf-8', 'replace'), 60)}: {error}")
            continue
        reason = reject_reason(signature, body, is_reserved, queues)
        if reason is not None:
            _count(kinds, "harmful", f"{brief(signature.uuid)}: {reason}")
        elif (mismatch := _mismatch(signature)) is not None:
            _count(kinds, "arguments", f"{brief(signature.uuid)} {brief(signature.name)}: {mismatch}")
        if fleet.registered is not None and where in fleet.consumed and signature.name not in fleet.registered:
            unregistered[signature.name] = unregistered.get(signature.name, 0) + 1
    findings = [_finding(fleet, code, where, kind) for code, kind in kinds.items()]
    for name, count in unregistered.items():
        what = f"{_tasks(count)} named {brief(name)!r} that this app does not register"
        do = f"register {brief(name)!r} in the app, or let it be served elsewhere: send it to a queue of its own"
        findings.append(Finding(WARNING, "unregistered", where, what, do))
    return findings


def _count(kinds: dict[str, _Kind], code: str, example: str) -> None:
    kinds.setdefault(code, _Kind(example)).count += 1


def _mismatch(signature: Signature) -> str | None:
    try:
        reflect_args(signature.args)
    except (ArgumentError, SignatureError) as error:
        return brief(str(error), 200)
    return None


def _finding(fleet: Fleet, code: str, where: str, kind: _Kind) -> Finding:
    look = fleet.command("queue peek", where)
    texts = {
        "undecodable": (
            "that cannot be decoded: Go's consumer ends with an error",
            f"find who sends them ({look}); a Python worker on this queue puts them among the dead letters",
        ),
        "harmful": (
            "that do harm to whoever runs them",
            f"find who sends them ({look}); a Python worker on this queue puts them among the dead letters",
        ),
        "arguments": (
            "whose arguments do not fit their types: FAILURE without a retry, and Go's consumer ends with an error",
            f"correct whoever sends them ({look}); a Python worker on this queue fails them without harm",
        ),
    }
    what, do = texts[code]
    return Finding(PROBLEM, code, where, f"{_tasks(kind.count)} {what}, the first is {kind.example}", do)


def _tasks(count: int) -> str:
    return "1 task waits" if count == 1 else f"{count} tasks wait"
