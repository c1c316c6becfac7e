"""``gomachinery contract check`` on a real Redis, and its judgement of waiting messages beside live Go's."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.command_line import gomachinery
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.redis_server import RedisServer
from harness.signatures import push, signature
from seeds import FRESH_SEED
from test_contracts_from_go import written

from gomachinery_py import Arg, Chain, Chord, Group, Server, Signature, TaskFailed
from gomachinery_py.contracts.reading import read_contract
from gomachinery_py.contracts.waiting import Waiting

DRIFT = 5
UNITS = 150


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The contract of go-harness' tasks."""
    path = tmp_path_factory.mktemp("contract") / "tasks.machinery.yaml"
    path.write_text(written({}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_healthy_queue(
    file: str, redis_server: RedisServer, go_producer: Callable[..., GoProducer], version: str
) -> None:
    """What Go sends as the contract says, with every kind of callback, is no difference: exit code 0."""
    producer = go_producer(version)
    add = signature("add", ("int64", 1))
    producer.send_task(add | {"ETA": "2199-01-01T00:00:00Z"})
    producer.send_chain(add, add, signature("multiply", ("int64", 1)))
    producer.send_group(add, signature("noop"))
    producer.send_chord(add, add, callback=signature("multiply"))
    with Server(redis_server.url()) as server:
        fails = Signature("fail", [Arg("string", "x")])
        fails.on_error = [Signature("return_just_error", [Arg("bool", False)])]
        server.send_task(fails)
        values = [Arg("string", "a"), Arg("string", "b"), Arg("bool", False)]
        server.send_chain(Chain(Signature("return_multiple_values", values), Signature("concat")))
    assert gomachinery("contract", "check", file, "--waiting", "--broker", redis_server.url()) == (
        0,
        "tasks.machinery.yaml: no difference; 8 waiting tasks were looked at\n",
        "",
    )


def test_drift_in_a_queue(file: str, redis_server: RedisServer) -> None:
    """Each kind is found, in the queue and among delayed tasks, and counted: exit code 5."""
    client = redis_server.client
    for number in range(700):
        push(client, "machinery_tasks", signature("add", ("int64", number), UUID=f"task_{number}"))
    for number in range(3):
        push(client, "machinery_tasks", signature("sub", ("int64", 1), UUID=f"unknown_{number}"))
    push(client, "machinery_tasks", signature("sum", UUID="few"))
    push(client, "machinery_tasks", signature("add", ("string", "1"), UUID="typed"))
    push(client, "machinery_tasks", signature("add", ("int64", 1.5), UUID="valued"))
    client.rpush("machinery_tasks", b"{not JSON")
    chained = signature("add", ("int64", 1), UUID="chained", OnSuccess=[signature("sum", ("[]int64", [1]))])
    push(client, "machinery_tasks", chained)
    late = json.dumps(signature("sum", ("[]int64", []), ("int64", 1), UUID="late", RoutingKey="machinery_tasks"))
    other = json.dumps(signature("gone", UUID="other", RoutingKey="other"))
    client.zadd("delayed_tasks", {late: 1 << 62, other: 1 << 62})
    code, out, error = gomachinery("contract", "check", file, "--waiting", "--json", "--broker", redis_server.url())
    found = [json.loads(line) for line in out.splitlines()]
    assert (code, error) == (DRIFT, "")
    assert [(one["kind"], one["task"], one["place"], one["count"], one["uuid"]) for one in found] == [
        ("unknown task", "sub", "queue machinery_tasks", 3, "unknown_0"),
        ("arity", "sum", "queue machinery_tasks", 1, "few"),
        ("type", "add", "queue machinery_tasks", 1, "typed"),
        ("value", "add", "queue machinery_tasks", 1, "valued"),
        ("undecodable", "", "queue machinery_tasks", 1, ""),
        ("arity", "sum", "queue machinery_tasks", 1, "chained"),
        ("arity", "sum", "delayed tasks", 1, "late"),
    ]
    code, out, _ = gomachinery("contract", "check", file, "--queue", "other", "--broker", redis_server.url())
    assert (code, out.count("\n"), "gone" in out) == (DRIFT, 1, True)
    # Nothing was taken.
    assert (client.llen("machinery_tasks"), client.zcard("delayed_tasks")) == (708, 2)


def test_drift_in_code(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Go serves now beside what the contract says: exit code 5, and 0 when nothing changed."""
    monkeypatch.chdir(tmp_path)
    now = Path("go.yaml")
    now.write_text(written({}), encoding="utf-8")
    assert gomachinery("contract", "check", file, "go.yaml")[0] == 0
    text = now.read_text(encoding="utf-8")
    now.write_text(text.replace("  add:\n", "  added:\n"), encoding="utf-8")
    code, out, error = gomachinery("contract", "check", file, "go.yaml")
    assert (code, error) == (DRIFT, "")
    assert out == (
        f"{file}:5: add: it is in the contract, and go.yaml does not serve it; bring it back, or export the contract "
        "again when nobody sends it any more\n"
        "go.yaml:5: added: go.yaml serves it, and the contract does not have it (breaks nothing); export the contract "
        "again\n"
    )


def test_an_unreachable_broker(file: str) -> None:
    """Is no drift: exit code 3."""
    code, out, error = gomachinery("contract", "check", file, "--waiting", "--broker", "redis://127.0.0.1:1")
    assert (code, out, "redis://127.0.0.1:1" in error) == (3, "", True)


# -- agreement --

RIGHT = {
    "add": [Arg("int64", 1)] * 2,
    "sum": [Arg("[]int64", [1, 2])],
    "concat": [Arg("string", "a")] * 2,
    "return_multiple_values": [Arg("string", "a"), Arg("string", "b"), Arg("bool", False)],
    "noop": [],
    "echo_int64": [Arg("int64", 5)],
    "echo_[]byte": [Arg("[]uint8", b"ab")],
    "fail": [Arg("string", "boom")],
}
WRONG = [Arg("int64", 1), Arg("string", "a"), Arg("bool", False), Arg("[]int64", [1])]


def drawn(rng: random.Random, uuid: str, depth: int = 2) -> Signature:
    """A task that is mostly right, with callbacks that may or may not fit what they get."""
    name = rng.choice(list(RIGHT))
    args = RIGHT[name]
    if depth < 2 and args and rng.random() < 0.7:
        # As a callback it gets the rest.
        args = args[: rng.randrange(len(args))]
    elif rng.random() < 0.15:
        args = [*args[: rng.randrange(len(args) + 1)], rng.choice(WRONG)]
    made = Signature(name, args, uuid=uuid, immutable=rng.random() < 0.2)
    callbacks = [drawn(rng, f"{uuid}.{n}", depth - 1) for n in range(rng.randrange(3))] if depth else []
    if name == "fail":
        made.on_error = callbacks
    else:
        made.on_success = callbacks
    return made


def succeeds(server: Server, task: Signature) -> bool:
    """Whether a task and all its callbacks were called as they can be; waits for them."""
    try:
        server.result(task.uuid).get(timeout=60)
    except TaskFailed as failed:
        # The texts of Go's panics in the call itself; the task's own text is the argument that it got.
        was_called = task.name == "fail" and not failed.text.startswith("reflect")
        return was_called and all(succeeds(server, each) for each in task.on_error or ())
    return all(succeeds(server, each) for each in task.on_success or ())


def sent(server: Server, rng: random.Random) -> Iterator[Callable[[], bool]]:
    """Send single tasks and chords; for each a question whether all of it succeeded."""
    for number in range(UNITS):
        if number % 5:
            task = drawn(rng, f"{number}")
            server.send_task(task)
            yield lambda task=task: succeeds(server, task)
            continue
        name = rng.choice(["add", "concat", "noop", "return_multiple_values"])
        members = [Signature(name, RIGHT[name], uuid=f"{number}.m{n}") for n in range(rng.randrange(1, 4))]
        callback = drawn(rng, f"{number}.c", 1)
        server.send_chord(Chord(Group(*members), callback))
        yield (
            lambda members=members, callback=callback: (
                all(succeeds(server, each) for each in members) and succeeds(server, callback)
            )
        )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_agreement_with_go(
    file: str, redis_server: RedisServer, go_worker: Callable[..., GoWorker], version: str
) -> None:
    """A message has a finding exactly when Go cannot call one of its tasks."""
    contract = read_contract(Path(file).read_bytes(), file)
    rng = random.Random(f"{FRESH_SEED} {version}")
    with Server(redis_server.url()) as server:
        questions = list(sent(server, rng))
        units: dict[str, list[bytes]] = defaultdict(list)
        for body in redis_server.client.lrange("machinery_tasks", 0, -1):
            units[json.loads(body)["UUID"].partition(".")[0]].append(body)
        judged = []
        for number in range(UNITS):
            look = Waiting(contract)
            for body in units[str(number)]:
                look.add("queue", body)
            judged.append(look.findings == [])
        go_worker(version, "goredis")
        went = [question() for question in questions]
    wrong = [(units[str(number)], judged[number]) for number in range(UNITS) if judged[number] != went[number]]
    assert wrong == []
    assert 0.1 < sum(went) / UNITS < 0.9
