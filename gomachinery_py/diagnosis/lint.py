"""All findings about one message: why Go cannot read it, or what is suspicious though Go takes it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from gomachinery_py.diagnosis.arguments import call_mismatch, first_failure
from gomachinery_py.diagnosis.decoding import Decoding, decode
from gomachinery_py.diagnosis.findings import Finding, Severity, error, warning
from gomachinery_py.diagnosis.foreign import foreign
from gomachinery_py.diagnosis.places import Placed, family, places
from gomachinery_py.diagnosis.spelling import spelling
from gomachinery_py.diagnosis.unreadable import arguments_in, unreadable
from gomachinery_py.diagnosis.values import values
from gomachinery_py.diagnosis.verdict import Kind, Knowledge, our_verdict
from gomachinery_py.golang.json import Members
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["lint"]

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def lint(
    data: bytes,
    known: Knowledge | None = None,
    *,
    decoding: Decoding | None = None,
    now_ns: int | None = None,
    queue: str | None = None,
) -> list[Finding]:
    """Findings about a message, the worst first, those of one severity in the order of the message.

    Args:
        data: the message.
        known: the tasks and queues that are known.
        decoding: the message's, where it is at hand.
        now_ns: this moment, by which an ETA is past.
        queue: the queue that the message was found in.
    """
    known = known or Knowledge()
    decoding = decoding or decode(data)
    is_json = decoding.tree is not None or not decoding.error
    found = list(foreign(data, decoding.tree, is_json=is_json))
    if type(decoding.tree) is Members and not found:
        found += unreadable(decoding)
        found += arguments_in(decoding.tree) if decoding.error else ()
        found += spelling(data, decoding.tree)
    else:
        found += unreadable(decoding)
    if not decoding.error:
        found += _of_signature(data, decode_signature(data), known, now_ns, queue)
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


def _of_signature(
    data: bytes, signature: Signature, known: Knowledge, now_ns: int | None, queue: str | None
) -> Iterator[Finding]:
    members: list[Placed] = []
    found: list[Finding] = []
    for placed in family(signature):
        if isinstance(placed, str):
            what = "null among the callbacks: Go's process exits when it comes to it"
            found.append(error("null-callback", placed, what, "nothing, or a signature"))
        else:
            members.append(placed)
    found += places(members, known, now_ns=now_ns, queue=queue)
    yield from found
    for placed in members:
        yield from values(placed.signature.args, placed.path)
    yield from _of_the_task(signature, known)
    ours = our_verdict(data, known)
    if ours.kind is Kind.REFUSED and not any(finding.severity is Severity.ERROR for finding in found):
        yield error("refused", "", f"a Python worker keeps it as a dead letter: {ours.text}")


def _of_the_task(signature: Signature, known: Knowledge) -> Iterator[Finding]:
    parameters = known.parameters(signature.name)
    if parameters is not None:
        text = "" if first_failure(signature.args) else call_mismatch(signature.args, parameters)
        if text:
            takes = [parameter.type.name if parameter.type else "any" for parameter in parameters.positional]
            if parameters.varargs is not None:
                takes.append(f"{parameters.varargs.type.name if parameters.varargs.type else 'any'}…")
            yield error("signature", "Args", text, f"{signature.name}({', '.join(takes)})")
    elif known.tasks is not None and signature.name:
        alike = difflib.get_close_matches(signature.name, known.tasks, 1)
        what = "the app, or the contract, knows no task of this name"
        yield warning("unknown-task", "Name", what, f'"{alike[0]}"?' if alike else "")
