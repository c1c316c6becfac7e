"""What we say that a Go worker does with a message is what Machinery's own consumer does with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import hostile
from harness.command_line import gomachinery
from harness.go_worker import GoWorker
from harness.judge import NOT_UNMARSHALLED, Judged, judge
from harness.judged_messages import KNOWN, messages
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import push, signature
from seeds import FRESH_SEED

from gomachinery_py.diagnosis.arguments import Outcome, convert
from gomachinery_py.diagnosis.lint import lint
from gomachinery_py.diagnosis.verdict import Ending, Kind, Knowledge, Verdict, go_verdict, our_verdict
from gomachinery_py.runs import fibonacci_next
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import FAILURE, PENDING, RECEIVED, RETRY, STARTED, SUCCESS, Signature
from gomachinery_py.wire.names import DEFAULT_QUEUE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "wire-tools.md"
MESSAGES = 2_400
FIXED_SEED = 20_240_601
F92 = 7_540_113_804_746_346_429
"""The largest Fibonacci number that fits 63 bits."""
WRONG_TYPE = "Publish message error: WRONGTYPE Operation against a key holding the wrong kind of value"

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
        return ("kills", judged.panic, RETRY if judged.state == PENDING else judged.state)
    _, unreadable, reason = judged.error.rpartition(NOT_UNMARSHALLED)
    if unreadable and not judged.state:
        return ("error", reason)
    if not judged.state:
        return ("given back" if judged.queued else "dropped", judged.error)
    state = RETRY if judged.state == PENDING else judged.state
    return (state, normalised(judged.error), judged.text)


def expected(message: bytes, verdict: Verdict) -> tuple[str, ...]:
    """The same by our verdict, and by what the test task does when it is called."""
    seen = _expected(message, verdict)
    if seen == (RETRY, "", "") and _goes_to_its_own_state(decode_signature(message)):
        # Its queue is the key of its state, as the finding "uuid-is-a-key" says.
        assert "uuid-is-a-key" in {finding.code for finding in lint(message)}
        return (RETRY, WRONG_TYPE, "")
    states = {SUCCESS, FAILURE} & {seen[0], seen[-1]}
    if not states:
        return seen
    signature, state = decode_signature(message), states.pop()
    for callback in (signature.on_success if state == SUCCESS else signature.on_error) or ():
        if callback is None:
            break
        if callback.uuid == signature.uuid != "":
            # Its PENDING is written over what the task ended with, as the finding "uuid-twice" says.
            assert "uuid-twice" in {finding.code for finding in lint(message)}
            return ("kills", seen[1], RETRY) if seen[0] == "kills" else (RETRY, seen[1], "")
    return seen


def _goes_to_its_own_state(signature: Signature) -> bool:
    """Whether a retry, which is at once when its nanoseconds overflow, is pushed to the key of the task's state."""
    nanoseconds = fibonacci_next(signature.retry_timeout) * 10**9
    is_past = (nanoseconds & ((1 << 64) - 1)) >= 1 << 63
    return is_past and signature.uuid == (signature.routing_key or DEFAULT_QUEUE)


def _expected(message: bytes, verdict: Verdict) -> tuple[str, ...]:
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


@by_version
def test_messages_of_the_page(shared_redis: RedisServer, version: str) -> None:
    """Each message of docs/wire-tools.md is judged by Go as the page says; what it says to write instead succeeds."""
    found = re.findall(r"^```(?:json|text) (written|better)\.json\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    bodies = [text.encode() for _, text in found]
    judged = judge(shared_redis.url(), version, bodies)
    for (what, _), body, one in zip(found, bodies, judged, strict=True):
        verdict = go_verdict(body)
        if what == "better" and b"float64" not in body:
            assert (one.state, one.called, verdict.kind) == ("SUCCESS", True, Kind.ACCEPTED), body
        elif verdict.kind is Kind.ACCEPTED:
            assert one.called, body
        else:
            assert (one.called, seen(one)) == (False, expected(body, verdict)), body
    assert len({what for what, _ in found}) == 2


@by_version
def test_a_search_without_end(shared_redis: RedisServer, version: str) -> None:
    """What is said to hang does not come back, its neighbour by one Fibonacci number does."""
    fields = {"UUID": "task_1", "Name": "fail", "RetryCount": 1}
    bodies = [json.dumps({**fields, "RetryTimeout": timeout}).encode() for timeout in (F92 - 1, 2**63 - 1)]
    judged = judge(shared_redis.url(), version, bodies[:1]) + judge(
        shared_redis.url(), version, bodies[1:], "-limit", "2s"
    )
    assert [one.hangs for one in judged] == [False, True]
    assert [go_verdict(body, KNOWN).kind for body in bodies] == [Kind.FAILURE, Kind.HANGS]


@by_version
@pytest.mark.parametrize("timeout", [1, 2**62], ids=["later", "at once"])
@pytest.mark.parametrize("queue", ["", "elsewhere", "task_1"])
def test_retry_into_its_own_state(shared_redis: RedisServer, version: str, queue: str, timeout: int) -> None:
    """A retry whose delay overflows goes to its queue at once, which fails when the queue is the task's UUID."""
    fields = {"UUID": "task_1", "Name": "echo_int8", "Args": [], "RetryCount": 1, "RoutingKey": queue}
    body = json.dumps({**fields, "RetryTimeout": timeout}).encode()

    [judged] = judge(shared_redis.url(), version, [body])

    failed = WRONG_TYPE if queue == "task_1" and timeout > 1 else ""
    assert seen(judged) == expected(body, go_verdict(body, KNOWN)) == (RETRY, failed, "")


@by_version
def test_values_that_go_changes(shared_redis: RedisServer, version: str) -> None:
    """The value that a finding says Go takes is the one that the function gets."""
    pairs = [
        ("int8", 300),
        ("int8", -129),
        ("uint8", 256),
        ("int16", 2**40 + 7),
        ("uint32", 2**33 - 1),
        ("int32", 2**31),
    ]
    bodies = [json.dumps(signature(f"echo_{kind}", (kind, value), UUID="task_1")).encode() for kind, value in pairs]
    bodies.append(json.dumps(signature("echo_[]uint8", ("[]uint8", 12), UUID="task_1")).encode())
    judged = judge(shared_redis.url(), version, bodies)
    whats = [next(one for one in lint(body) if one.code in ("other-value", "digits")).what for body in bodies]
    taken = [
        f"Go takes {(one.results or [])[0]} for {value}, in silence"
        for one, (_, value) in zip(judged, pairs, strict=False)
    ]
    assert whats[:-1] == taken
    assert (whats[-1], judged[-1].results) == ("Go takes the bytes of the digits for a list: [49 50]", ["MTI="])


def test_what_is_said_of_our_worker() -> None:
    """The fates of hostile messages, which test_hostile_messages.py proves at a live Python worker."""
    kinds = {
        hostile.DEAD: Kind.REFUSED,
        hostile.FAILED: Kind.FAILURE,
        hostile.DONE: Kind.ACCEPTED,
        hostile.RAN: Kind.ACCEPTED,
        hostile.WAITS: Kind.UNREGISTERED,
        hostile.DROPPED: Kind.DROPPED,
    }
    known = Knowledge(
        {**(KNOWN.tasks or {}), "multiply": (KNOWN.tasks or {})["add"]}, queues=(hostile.QUEUE, hostile.CUSTOM_QUEUE)
    )
    compared = 0
    for message in hostile.kinds():
        # What other keys a Redis has, no message tells.
        if any(key in message.name for key in hostile.planted) or message.name in hostile.CHORDS:
            continue
        verdict = our_verdict(message.body, known)
        assert (message.name, verdict.kind) == (message.name, kinds[message.fate])
        assert verdict.text.startswith(message.text), message.name
        compared += 1
    assert compared > 150


STARTS_OVER, CONSUMES_NO_MORE = True, False


@pytest.mark.parametrize(
    ("version", "client", "goes_on"),
    [
        ("v1", "redigo", STARTS_OVER),
        ("v1", "goredis", STARTS_OVER),
        ("v2", "goredis", STARTS_OVER),
        ("v2", "redigo", CONSUMES_NO_MORE),
    ],
)
def test_what_an_error_costs(
    redis_server: RedisServer, go_worker: Callable[..., GoWorker], version: str, client: str, goes_on: bool
) -> None:
    """After an argument that does not fit a worker starts over, or, v2 with redis.New, never takes a message again."""
    worker = go_worker(version, client, concurrency=1, normal_poll=100)
    # An empty message costs nothing.
    redis_server.client.rpush("machinery_tasks", b"")
    assert worker.consumes(30)
    push(redis_server.client, "machinery_tasks", signature("add", ("int64", "5"), UUID="task_bad"))
    wait_until(lambda: b"FAILURE" in (redis_server.client.get("task_bad") or b""), 30, "the FAILURE")
    # A worker that starts over leaves behind a consumer that takes a few messages and does none of them.
    assert any(worker.consumes(3) for _ in range(10 if goes_on else 1)) is goes_on


# -- the commands on a real Redis --


def test_messages_of_a_queue(redis_server: RedisServer) -> None:
    """They are looked at where they wait; none is taken, and their own queue is no UUID for one."""
    client, url = redis_server.client, redis_server.url()
    push(client, "special", signature("add", ("int64", "5"), UUID="task_1", Headers={}, RoutingKey="special"))
    push(client, "special", signature("add", ("int64", 5), UUID="special", Headers={}))
    client.rpush("special", b"\x1b[2J", b"")
    before = client.lrange("special", 0, -1)
    code, out, error = gomachinery("wire", "explain", "--json", "--queue", "special", "--broker", url)
    documents = [json.loads(line) for line in out.splitlines()]
    assert (code, error) == (0, "")
    assert [document["verdicts"]["go_v2"]["verdict"] for document in documents] == [
        "failure",
        "accepted",
        "worker error",
        "dropped",
    ]
    assert [finding["code"] for finding in documents[1]["findings"]] == ["uuid-is-a-key"]
    assert documents[1]["verdicts"]["here"]["verdict"] == "refused"
    code, out, error = gomachinery("wire", "lint", "-n", "1", "--queue", "special", "--broker", url)
    assert (code, out.count("\n"), error) == (1, 3, "")
    assert client.lrange("special", 0, -1) == before
    client.set("no queue", "x")
    assert gomachinery("wire", "lint", "--queue", "no queue", "--broker", url)[0] == 1
    note = "gomachinery: nothing waits in 'nothing there'\n"
    assert gomachinery("wire", "lint", "--queue", "nothing there", "--broker", url) == (0, "", note)
