"""What we say that a Go worker does with a message is what Machinery's own consumer does with it."""

from __future__ import annotations

from collections import Counter

import pytest
from harness.judge import NOT_UNMARSHALLED, Judged, judge
from harness.judged_messages import KNOWN, messages
from harness.redis_server import RedisServer
from seeds import FRESH_SEED

from gomachinery_py.diagnosis.arguments import Outcome, convert
from gomachinery_py.diagnosis.verdict import Ending, Kind, Verdict, go_verdict
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import FAILURE, PENDING, RECEIVED, RETRY, STARTED

MESSAGES = 2_400
FIXED_SEED = 20_240_601

by_version = pytest.mark.parametrize("version", ["v1", "v2"])


def normalised(text: str) -> str:
    """A text of Go's without what nobody can know beforehand: what Redis, not Go, has to say of a group."""
    head, separator, _ = text.partition(" returned error: ")
    return head + separator if head.startswith("Completed check for group ") else text


def seen(judged: Judged) -> tuple[str, ...]:
    """What the judge saw, in the words of a verdict."""
    if judged.hangs:
        return ("hangs",)
    if judged.panic:
        return ("kills", judged.panic, judged.state)
    _, unreadable, reason = judged.error.rpartition(NOT_UNMARSHALLED)
    if unreadable and not judged.state:
        return ("error", reason)
    if not judged.state:
        return ("given back" if judged.queued else "dropped", judged.error)
    state = RETRY if judged.state == PENDING else judged.state
    return (state, normalised(judged.error), judged.text)


def expected(message: bytes, verdict: Verdict) -> tuple[str, ...]:
    """The same by our verdict, and by what the test task does when it is called."""
    if verdict.kind is Kind.UNREGISTERED:
        return ("given back", "")
    if verdict.kind is Kind.DROPPED:
        return ("dropped", "")
    if verdict.kind is Kind.WORKER_ERROR and verdict.failure is None:
        return ("error", verdict.text)
    signature = decode_signature(message)
    if verdict.failure is None and verdict.kind is Kind.FAILURE:
        return (FAILURE, verdict.text, verdict.text)
    if verdict.failure is None:
        # Either before the function, or after the FAILURE that its arguments are.
        return ("kills", verdict.text, RECEIVED if verdict.text.startswith("reflect: ") else FAILURE)
    if verdict.retries:
        return (RETRY, "", "")
    if verdict.kind is not Kind.ACCEPTED:
        return _ended(verdict.failure, verdict.text)
    assert verdict.success is not None
    args = [arg.value for arg in signature.args or ()]
    if signature.name == "panic_string":
        return _ended(verdict.failure, "plain text")
    if signature.name == "fail" or (signature.name == "return_just_error" and args[1]):
        return _ended(verdict.failure, args[0])
    if signature.name == "echo_float32" and convert((signature.args or [])[0]).outcome is Outcome.CHANGES:
        # It returns the infinity that it was given, and no backend can store that.
        sign = "-" if str(args[0]).startswith("-") else "+"
        unwritable = f"json: unsupported value: {sign}Inf"
        return (STARTED, f"Set state to 'success' for task {signature.uuid} returned error: {unwritable}", "")
    return _ended(verdict.success, "")


def _ended(ending: Ending, text: str) -> tuple[str, ...]:
    if ending.kind is Kind.KILLS:
        return ("kills", ending.text, ending.state)
    error = ending.text if ending.kind is Kind.WORKER_ERROR else ""
    return (ending.state, error, text if ending.state == FAILURE else "")


@by_version
@pytest.mark.parametrize("seed", [FIXED_SEED, FRESH_SEED], ids=["fixed", "fresh"])
def test_generated_messages(shared_redis: RedisServer, version: str, seed: int) -> None:
    """Accepted, FAILURE with which text, worker error with which text, killed, given back, dropped: as in Go."""
    bodies = messages(MESSAGES, seed)
    verdicts = [go_verdict(body, KNOWN) for body in bodies]
    judged = judge(shared_redis.url(), version, bodies)
    differing = [
        (body[:1500], mine, go)
        for body, verdict, one in zip(bodies, verdicts, judged, strict=True)
        if (mine := expected(body, verdict)) != (go := seen(one))
    ]
    kinds = Counter(verdict.kind.value for verdict in verdicts)
    print(f"{version}, seed {seed}: {len(bodies)} messages, {len(differing)} disagreements, {dict(kinds)}")
    assert differing[:3] == [], f"seed {seed}"
    assert len(bodies) >= 2_000
