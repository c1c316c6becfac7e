"""Seeded runs of three workers under everything that may go wrong, and a checker that reads the log afterwards.

A run is decided by its seed: which workflows are sent, how long each step takes, which requests are lost on the way
there, on the way back, or arrive after the client gave up; which workers die, sleep beyond their lease, are told to
stop; which messages are delivered twice. Workers only work; whether nothing was lost or repeated is read from
the log that the server and the tasks have kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fleet import LEASE, QUEUE, Fabric, Fate, SimPort, SimWorker
from miniredis import MiniRedis

from gomachinery_py import Chain, Chord, Group, RetryTaskLater
from gomachinery_py.backends.redis import RedisBackend
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.effects import Request, run
from gomachinery_py.golang.time import Time
from gomachinery_py.producer import Producer
from gomachinery_py.redis_transactions import unmarked
from gomachinery_py.runs import Outcome, RunnableTask
from gomachinery_py.wire import decode_signature, decode_task_state, names
from gomachinery_py.wire.model import Arg, Signature, TaskResult

__all__ = ["Report", "Safeguards", "simulate"]

TROUBLE_SECONDS = 12.0
LIMIT_SECONDS = 400.0
WORKERS = 3
TERMINAL = ("SUCCESS", "FAILURE")
_NAMES = ("work", "total", "fail", "flaky", "later", "told")


@dataclass(frozen=True)
class Safeguards:
    """What a test of the tests switches off."""

    crash_safe: bool = True
    #: A task runs alone when so many workers died while it ran.
    suspect_after: int = 2
    #: Called with each new worker.
    sabotage: Callable[[SimWorker], None] = lambda _worker: None


@dataclass
class Report:
    """What became of one run."""

    seed: int
    violations: list[str] = field(default_factory=list)
    executions: int = 0
    repeated: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass
class _Plan:
    """What was sent, and what must have become of it."""

    states: dict[str, str] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    callbacks: list[str] = field(default_factory=list)
    members: set[str] = field(default_factory=set)

    def expect(self, uuid: str, *, runs: int = 1, state: str = "SUCCESS") -> None:
        self.runs[uuid] = runs
        self.states[uuid] = state


@dataclass
class _Task:
    """A task by its name; ``call`` decides what it does."""

    name: str
    call: Callable[[Signature], Outcome]
    is_async = False

    def prepare(self, signature: Signature) -> Callable[[], Outcome]:
        return lambda: self.call(signature)


class _Simulation:
    def __init__(self, seed: int, safeguards: Safeguards) -> None:
        self.fabric = Fabric(seed)
        self.random = self.fabric.random
        self.report = Report(seed)
        self.safeguards = safeguards
        self.is_fused = self.random.random() < 0.75
        self.log: list[tuple[str, str, str]] = []
        self.plan = _Plan()
        self.trouble = True
        #: How often a task may run once more, because of a worker that died, slept, or a message sent twice.
        self.excused: Counter[str] = Counter()
        self.copied: set[str] = set()
        #: How many deaths are counted of each body, the most that ever were, and how many workers died or slept while
        #: it ran alone.
        self.counted: Counter[bytes] = Counter()
        self.most_counted: Counter[bytes] = Counter()
        self.deaths_alone: Counter[bytes] = Counter()
        self.kinds = self._kinds()
        self.rates = {kind: self.random.choice((0.0, 0.01, 0.05)) for kind in ("drop", "lost", "late")}
        self.servers = [self._server() for _ in range(1 if self.is_fused else 2)]
        self.workers: list[SimWorker] = []
        self.count = 0
        self.waits: Counter[str] = Counter()

    def _kinds(self) -> list[str]:
        """Which troubles this run has; without one Redis for both a sleeper can write late, which is documented."""
        kinds = ["crash", "drain"] + (["pause", "copy"] if self.is_fused else [])
        return [kind for kind in kinds if self.random.random() < 0.6]

    def _server(self) -> MiniRedis:
        server = MiniRedis(self.fabric.clock.unix_ns)
        server.on_write = self._note
        return server

    def _note(self, words: list[bytes]) -> None:
        if words[0] == b"SET" and words[2].startswith(b'{"TaskUUID"'):
            state = decode_task_state(words[2])
            self.log.append(("state", state.task_uuid, state.state))
        elif words[0] == b"HINCRBY":
            body = words[2]
            self.counted[body] += 1
            self.most_counted[body] = max(self.most_counted[body], self.counted[body])
        elif words[:2] == [b"HDEL", names.attempts_key(QUEUE).encode()]:
            self.counted.pop(words[2], None)

    # -- tasks --

    def _tasks(self, worker_number: int) -> dict[str, RunnableTask]:
        tasks: list[RunnableTask] = [_Task(name, self._call) for name in _NAMES]
        if worker_number % WORKERS:
            tasks.append(_Task("rare", self._call))
        return {task.name: task for task in tasks}

    def _call(self, signature: Signature) -> Outcome:
        self.log.append(("executed", signature.uuid, signature.name))
        if signature.name == "fail" or (signature.name == "flaky" and signature.retry_count):
            return Outcome([], ValueError("no"))
        if signature.name == "later" and signature.eta is None:
            return Outcome([], RetryTaskLater("not yet", 0.5))
        arguments = [arg.value for arg in signature.args or ()]
        if signature.name == "told":
            return Outcome([TaskResult("string", arguments[0])])
        return Outcome([TaskResult("int64", sum(arguments))])

    # -- sending --

    def send_all(self) -> None:
        """Workflows of random shapes; sent without trouble, so that all of them count."""
        port, store = self._ports()
        producer = Producer(RedisBroker(port, self.fabric.clock, QUEUE), RedisBackend(store, self.fabric.clock, 3600))
        for number in range(self.random.randint(2, 5)):
            shape = self.random.choice(_SHAPES)
            shape(self, producer, f"w{number}-")

    def _ports(self) -> tuple[SimPort, SimPort]:
        port = SimPort(self.servers[0])
        return port, port if self.is_fused else SimPort(self.servers[1])

    def sig(self, name: str, uuid: str, **expected: Any) -> Signature:
        self.plan.expect(uuid, **expected)
        return Signature(name, [Arg("int64", 1)], uuid=uuid)

    def single(self, producer: Producer, prefix: str) -> None:
        run(producer.send_task(self.sig(self.random.choice(("work", "rare")), f"{prefix}t1")))

    def failure(self, producer: Producer, prefix: str) -> None:
        signature = self.sig("fail", f"{prefix}t1", state="FAILURE")
        signature.on_error = [self.sig("told", f"{prefix}e")]
        run(producer.send_task(signature))

    def retry(self, producer: Producer, prefix: str) -> None:
        signature = self.sig("flaky", f"{prefix}t1", runs=3)
        signature.retry_count = 2
        run(producer.send_task(signature))

    def later(self, producer: Producer, prefix: str) -> None:
        run(producer.send_task(self.sig("later", f"{prefix}t1", runs=2)))

    def delayed(self, producer: Producer, prefix: str) -> None:
        signature = self.sig("work", f"{prefix}t1")
        signature.eta = Time.from_unix_ns(self.fabric.clock.unix_ns() + self.random.randint(0, 5) * 1_000_000_000)
        run(producer.send_task(signature))

    def on_success(self, producer: Producer, prefix: str) -> None:
        signature = self.sig("work", f"{prefix}t1")
        signature.on_success = [self.sig("total", f"{prefix}s1"), self.sig("rare", f"{prefix}s2")]
        run(producer.send_task(signature))

    def chain(self, producer: Producer, prefix: str) -> None:
        chain = Chain(*(self.sig("work", f"{prefix}t{number}") for number in range(3)))
        run(producer.send_task(chain.tasks[0]))

    def group(self, producer: Producer, prefix: str) -> None:
        self._send_group(producer, Group(*(self.sig("work", f"{prefix}t{number}") for number in range(3))), prefix)

    def chord(self, producer: Producer, prefix: str) -> None:
        members = [self.sig(self.random.choice(("work", "rare")), f"{prefix}t{number}") for number in range(3)]
        if self.random.random() < 0.5:
            members[0].on_success = [self.sig("total", f"{prefix}s")]
        if self.random.random() < 0.3:
            members[1].name, members[1].retry_count = "flaky", 1
            self.plan.expect(members[1].uuid, runs=2)
        self._send_chord(producer, prefix, members)

    def chord_with_failure(self, producer: Producer, prefix: str) -> None:
        members = [self.sig("work", f"{prefix}t{number}") for number in range(2)]
        members.append(self.sig("fail", f"{prefix}t2", state="FAILURE"))
        self._send_chord(producer, prefix, members, fires=False)

    def immutable_chord(self, producer: Producer, prefix: str) -> None:
        members = [self.sig("work", f"{prefix}t{number}") for number in range(2)]
        self._send_chord(producer, prefix, members, immutable=True)

    def _send_chord(
        self,
        producer: Producer,
        prefix: str,
        members: list[Signature],
        *,
        fires: bool = True,
        immutable: bool = False,
    ) -> None:
        uuid = f"{prefix}c"
        callback = Signature("total", [], uuid=uuid, immutable=immutable)
        if fires:
            self.plan.expect(uuid)
            self.plan.callbacks.append(uuid)
            if self.random.random() < 0.3:
                callback.on_success = [self.sig("work", f"{prefix}d")]
        else:
            self.plan.runs[uuid] = 0
        self.plan.members |= {member.uuid for member in members}
        self._send_group(producer, Chord(Group(*members), callback).group, prefix)

    def _send_group(self, producer: Producer, group: Group, prefix: str) -> None:
        for member in group.tasks:
            member.group_uuid = f"{prefix}group"
        run(producer.send_group(f"{prefix}group", group.tasks))

    # -- trouble --

    def fate(self, _worker: SimWorker | None, request: Request) -> Fate:
        """How one request fares."""
        fate = Fate(self.random.choice((0.0001, 0.001, 0.01, 0.05)))
        if not self.trouble:
            return fate
        dice = self.random.random()
        if dice < self.rates["drop"]:
            fate.arrives = False
            self.report.faults["request lost"] += 1
        elif dice < self.rates["drop"] + self.rates["lost"]:
            fate.is_answered = False
            self.report.faults["answer lost"] += 1
        elif self.is_fused and dice < sum(self.rates.values()) and request.commands[0][0] != "BLMOVE":
            # A blocking command whose client has gone is not done any more.
            fate.late = self.random.uniform(0.01, 2.0)
            self.report.faults["request late"] += 1
        return fate

    def start_worker(self) -> None:
        if not self.trouble and sum(not worker.gone and not worker.stopping for worker in self.workers) >= WORKERS:
            return
        self.count += 1
        worker = SimWorker(
            self.fabric,
            f"worker-{self.count}",
            self._ports(),
            self._tasks(self.count),
            crash_safe=self.safeguards.crash_safe,
            suspect_after=self.safeguards.suspect_after,
        )
        self.safeguards.sabotage(worker)
        self.workers.append(worker)

    def next_trouble(self) -> None:
        if not self.trouble:
            return
        self.fabric.after(self.random.expovariate(0.5), self.next_trouble)
        alive = [worker for worker in self.workers if not worker.gone]
        if not alive or not self.kinds:
            return
        worker, kind = self.random.choice(alive), self.random.choice(self.kinds)
        self.report.faults[kind] += 1
        if kind in ("crash", "pause"):
            for body in worker.begun:
                self.excused[decode_signature(body).uuid] += 1
            if worker.runs_alone:
                self.deaths_alone.update(worker.begun)
        if kind == "crash":
            worker.crash()
        elif kind == "drain":
            worker.drain()
        elif kind == "pause":
            worker.pause(LEASE * self.random.uniform(0.2, 3.0))
        elif kind == "copy":
            self._copy()
        if kind in ("crash", "drain"):
            self.fabric.after(self.random.uniform(0.1, 5.0), self.start_worker)

    def _copy(self) -> None:
        """A message that is there twice."""
        redis = self.servers[0]
        keys = [key for key in redis.keys if key == QUEUE.encode() or b":gmpy:inflight:" in key]
        bodies = [body for key in sorted(keys) for body in redis.keys[key]]
        if bodies:
            body = unmarked(self.random.choice(bodies))
            redis.execute("RPUSH", QUEUE, body)
            for uuid in _family(decode_signature(body)):
                self.excused[uuid] += 10
                self.copied.add(uuid)

    def end_trouble(self) -> None:
        """From now on everything works; whoever was stopped is replaced."""
        self.trouble = False
        for _ in range(WORKERS):
            self.start_worker()

    # -- a whole run --

    def run(self) -> Report:
        self.fabric.fate = self.fate
        if self.random.random() < 0.2:
            self.servers[-1].execute("SET", names.TRIGGER_CHORD_MUTEX, b"left by a Go worker", "PX", 8000)
        self.send_all()
        for _ in range(WORKERS):
            self.start_worker()
        self.fabric.after(self.random.uniform(0, 0.5), self.next_trouble)
        self.fabric.after(TROUBLE_SECONDS, self.end_trouble)
        if not self.fabric.run_until(self._is_quiet, LIMIT_SECONDS):
            self.report.violations.append(f"still not quiet: {self._leftovers()}")
        _check(self)
        return self.report

    def _is_quiet(self) -> bool:
        return (
            not self.trouble
            and not self._leftovers()
            and not any(worker.begun for worker in self.workers if not worker.gone)
        )

    def _leftovers(self) -> dict[str, int]:
        """What is anywhere but in the result store."""
        prefixes = (QUEUE.encode(), names.DELAYED_TASKS_KEY.encode(), b"{")
        return {
            key.decode(): len(value)
            for key, value in self.servers[0].keys.items()
            if key.startswith(prefixes) and not key.endswith((b":workers", b":attempts"))
        }


_SHAPES = [
    _Simulation.single,
    _Simulation.failure,
    _Simulation.retry,
    _Simulation.later,
    _Simulation.delayed,
    _Simulation.on_success,
    _Simulation.chain,
    _Simulation.group,
    _Simulation.chord,
    _Simulation.chord,
    _Simulation.chord,
    _Simulation.chord_with_failure,
    _Simulation.immutable_chord,
]


def _family(signature: Signature) -> list[str]:
    """The UUIDs of a task and of all that follows it."""
    following = [*(signature.on_success or ()), *(signature.on_error or ())]
    if signature.chord_callback is not None:
        following.append(signature.chord_callback)
    return [signature.uuid, *(uuid for each in following if each is not None for uuid in _family(each))]


def _check(simulation: _Simulation) -> None:
    """Read the log."""
    report, plan = simulation.report, simulation.plan
    complain = report.violations.append
    executed = Counter(uuid for kind, uuid, _ in simulation.log if kind == "executed")
    states: dict[str, list[str]] = defaultdict(list)
    for kind, uuid, state in simulation.log:
        if kind == "state":
            states[uuid].append(state)
    report.executions = sum(executed.values())
    for worker in simulation.workers:
        report.violations += [f"{worker.name} broke: {text}" for text in worker.broken]
    for uuid, wanted in plan.states.items():
        last = states[uuid][-1] if uuid in states else "never sent"
        if last != wanted:
            complain(f"{uuid} ended as {last}, not {wanted}: {states[uuid]}")
    for uuid, runs in plan.runs.items():
        if executed[uuid] < runs:
            complain(f"{uuid} ran {executed[uuid]} times, not {runs}")
        extra = executed[uuid] - runs
        report.repeated += max(0, extra)
        # Elsewhere than on one Redis, what follows a task may be sent once more for each fault.
        if simulation.is_fused and extra > simulation.excused[uuid]:
            complain(f"{uuid} ran {extra} times more, {simulation.excused[uuid]} were excused")
    for body, count in simulation.most_counted.items():
        allowed = simulation.safeguards.suspect_after + simulation.deaths_alone[body]
        uuid = decode_signature(body).uuid
        if count > allowed and uuid not in simulation.copied:
            complain(f"{uuid} was counted with {count} deaths, {allowed} are its own")
    if simulation.is_fused:
        for uuid in plan.callbacks:
            published = states[uuid].count("PENDING")
            if published != 1 and uuid not in simulation.copied:
                complain(f"chord callback {uuid} was published {published} times")
        for uuid, written in states.items():
            # A request that was sent again writes the same again.
            each = [state for at, state in enumerate(written) if written[at - 1 : at] != [state]]
            ends = [at for at, state in enumerate(each) if state in TERMINAL]
            if ends and ends[0] != len(each) - 1 and uuid not in simulation.copied:
                complain(f"{uuid} was written after its end: {each}")


def simulate(seed: int, safeguards: Safeguards | None = None) -> Report:
    """One run; its report names every promise that was broken."""
    return _Simulation(seed, safeguards or Safeguards()).run()
