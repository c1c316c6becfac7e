"""Verdicts, findings and differences on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gomachinery_py.cli.text import printable
from gomachinery_py.diagnosis.costs import cost
from gomachinery_py.diagnosis.difference import Difference
from gomachinery_py.diagnosis.findings import Finding
from gomachinery_py.diagnosis.verdict import Ending, Kind, Verdict
from gomachinery_py.wire.model import RETRY

__all__ = [
    "difference_document",
    "difference_lines",
    "finding_document",
    "finding_lines",
    "verdict_document",
    "verdict_lines",
]

_TEXT_LIMIT: Final = 300
_FINDINGS: Final = 50
_COLUMN: Final = 9


def _shown(text: str) -> str:
    return printable(text, _TEXT_LIMIT)


def verdict_lines(side: str, verdict: Verdict, version: str = "") -> Iterable[str]:
    """``Go v1   FAILURE, no retry: …``, and beneath it what that costs; ``version`` is empty for ours."""
    yield f"  {side:<{_COLUMN}}{_verdict(verdict)}"
    costs = cost(verdict, version) if version else ""
    if costs:
        yield f"  {'':<{_COLUMN}}and {costs}"


def _verdict(verdict: Verdict) -> str:
    text = _shown(verdict.text)
    match verdict.kind:
        case Kind.ACCEPTED:
            return "accepted" + _open(verdict)
        case Kind.FAILURE:
            return f"FAILURE, {_retried(verdict.retries)}: {text}"
        case Kind.UNREGISTERED:
            return "no task of this name: it is handed back to the queue"
        case Kind.DROPPED:
            return f"dropped{f': {text}' if text else ', as it asks for: no task has its name'}"
        case Kind.WORKER_ERROR:
            return f"worker error: {text}"
        case Kind.KILLS:
            return f"the process exits: {text}"
        case Kind.HANGS:
            return "hangs: the search for the next RetryTimeout does not end"
        case Kind.REFUSED:
            return f"dead letter: {text}"


def _retried(count: int) -> str:
    return "no retry" if count == 0 else f"after {count} {'retry' if count == 1 else 'retries'}"


def _open(verdict: Verdict) -> str:
    parts = []
    if verdict.success is not None and verdict.success.kind is not Kind.ACCEPTED:
        group = ", unless its group is stored" if verdict.success.needs_group else ""
        parts.append(f"when it succeeds, {_ending(verdict.success)}{group}")
    if verdict.failure is not None and verdict.failure.kind is not Kind.ACCEPTED:
        parts.append(f"when it fails, {_ending(verdict.failure)}")
    elif verdict.failure is not None and verdict.failure.state == RETRY:
        parts.append("when it fails, it is retried")
    return f"; {'; '.join(parts)}" if parts else ""


def _ending(ending: Ending) -> str:
    text = _shown(ending.text.removesuffix(": "))
    if ending.kind is Kind.KILLS:
        return f"the process exits: {text}"
    return "it hangs" if ending.kind is Kind.HANGS else f"a worker error: {text}"


def verdict_document(verdict: Verdict, version: str = "") -> dict[str, Any]:
    """``{"verdict", "text", "retries", "cost", "on_success", "on_failure"}``; the last two are null when they do not
    matter, else ``{"state", "verdict", "text", "needs_group"}``."""
    document: dict[str, Any] = {
        "verdict": verdict.kind.value,
        "text": verdict.text,
        "retries": verdict.retries,
        "cost": cost(verdict, version) if version else "",
    }
    for name, ending in (("on_success", verdict.success), ("on_failure", verdict.failure)):
        document[name] = None if ending is None else _ending_document(ending)
    return document


def _ending_document(ending: Ending) -> dict[str, Any]:
    return {
        "state": ending.state,
        "verdict": ending.kind.value,
        "text": ending.text,
        "needs_group": ending.needs_group,
    }


def finding_lines(findings: Sequence[Finding]) -> Iterable[str]:
    """``error   Args[0].Value: …``, and beneath it what to write instead."""
    for finding in findings[:_FINDINGS]:
        path = f"{_shown(finding.path)}: " if finding.path else ""
        yield f"  {finding.severity:<{_COLUMN}}{path}{_shown(finding.what)}"
        if finding.instead:
            yield f"  {'':<{_COLUMN}}→ {_shown(finding.instead)}"
    if len(findings) > _FINDINGS:
        yield f"  … and {len(findings) - _FINDINGS} more (--json shows all)"


def finding_document(finding: Finding) -> dict[str, Any]:
    """``{"severity", "code", "path", "what", "instead"}``."""
    return {
        "severity": finding.severity.value,
        "code": finding.code,
        "path": finding.path,
        "what": finding.what,
        "instead": finding.instead,
    }


def difference_lines(differences: Sequence[Difference]) -> Iterable[str]:
    """``differs        Args[0].Value: 1 | 2``."""
    for difference in differences:
        path = f"{_shown(difference.path)}: " if difference.path else ""
        yield f"{difference.meaning:<14}{path}{_shown(difference.left)} | {_shown(difference.right)}"


def difference_document(difference: Difference) -> dict[str, Any]:
    """``{"meaning", "path", "left", "right"}``."""
    return {
        "meaning": difference.meaning.value,
        "path": difference.path,
        "left": difference.left,
        "right": difference.right,
    }
