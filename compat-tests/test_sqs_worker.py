"""Our worker and command line on SQS when things go wrong: poison, slow tasks, workers that die, wrong settings."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import short_directory
from harness.conformance import ServicePythonWorker
from harness.process import wait_until
from harness.redis_server import RedisServer, free_port
from harness.services import Place
from harness.signatures import signature
from harness.sqs_server import SQSServer

from gomachinery_py import Arg, Chain, Config, Context, Group, Server, Signature, TaskFailed
from gomachinery_py.errors import PublishError, ServiceError, ServiceUnavailable, SignatureError

Make = Callable[..., Server]


class Runs:
    """Counts executions, and remembers their order; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.of: Counter[Any] = Counter()
        self.order: list[Any] = []

    def __call__(self, what: Any) -> None:
        with self._lock:
            self.of[what] += 1
            self.order.append(what)


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def make_server(sqs_server: SQSServer, redis_server: RedisServer, runs: Runs, stack: contextlib.ExitStack) -> Make:
    """A server for a queue: ``make_server("queue", sqs__receive_visibility_timeout=1)``."""

    def make(queue: str, **settings: Any) -> Server:
        urls = {"broker": sqs_server.url, "result_backend": redis_server.url()}
        server = Server(Config.of(**{**urls, "default_queue": queue, **settings}))
        stack.callback(server.close)

        @server.task
        def count(number: int) -> int:
            runs(number)
            return number

        @server.task
        def slow(number: int, milliseconds: int) -> int:
            runs(number)
            time.sleep(milliseconds / 1000)
            runs(-number)
            return number

        @server.task
        def fail(text: str) -> None:
            runs(text)
            raise ValueError(text)

        @server.task
        def handle(context: Context) -> str:
            return context.signature.sqs_receipt_handle

        return server

    return make


def emptied(sqs: SQSServer, queue: str) -> None:
    wait_until(lambda: sqs.counts(queue) == (0, 0), 10, "an empty queue", interval=0.05)


def test_a_long_task_keeps_its_message(make_server: Make, runs: Runs, sqs_server: SQSServer, sqs_queue: str) -> None:
    """A task of three visibility timeouts runs once, although another worker asks for messages all the time."""
    server, other = (make_server(sqs_queue, sqs__receive_visibility_timeout=1) for _ in range(2))
    with server.worker(concurrency=2), other.worker(concurrency=2):
        assert server.tasks["slow"].send(1, 3200).get(timeout=10) == 1
        emptied(sqs_server, sqs_queue)

    assert runs.order == [1, -1]


def test_without_the_heartbeat(make_server: Make, runs: Runs, sqs_queue: str) -> None:
    """``visibility_hearth_beat: false`` is obeyed: a task of two visibility timeouts is given to others as well."""
    settings = {"sqs__receive_visibility_timeout": 1, "sqs__visibility_hearth_beat": False}
    server = make_server(sqs_queue, **settings)
    with server.worker(concurrency=4):
        assert server.tasks["slow"].send(1, 2500).get(timeout=10) == 1

    assert runs.of[1] > 1


def test_a_killed_workers_tasks_run_again(
    make_server: Make, runs: Runs, redis_server: RedisServer, sqs_server: SQSServer, sqs_queue: str
) -> None:
    """What a worker had taken when it was killed comes again after the visibility timeout; nothing is lost."""
    server = make_server(sqs_queue)
    sent = [server.send_task(Signature("sleep_ms", [Arg("int64", 60_000)])) for _ in range(6)]
    with short_directory() as directory:
        place = Place(sqs_server.url, sqs_queue)
        process = ServicePythonWorker(place, redis_server.url(), redis_server, directory, sqs_visibility=2)
        wait_until(lambda: sqs_server.counts(sqs_queue)[1] == 6, 10, "all are taken")
        process.kill()

    @server.task
    def sleep_ms(milliseconds: int) -> int:
        runs("slept")
        return milliseconds

    with server.worker(concurrency=2):
        assert [result.get(timeout=10) for result in sent] == [60_000] * 6
        emptied(sqs_server, sqs_queue)
    assert runs.of["slept"] == 6


def test_an_outcome_that_is_stored_is_not_run_again(
    make_server: Make, runs: Runs, sqs_server: SQSServer, sqs_queue: str
) -> None:
    """A message that comes again after its task's SUCCESS, as after a worker's death before the end, is only ended."""
    server = make_server(sqs_queue, sqs__receive_visibility_timeout=1)
    sqs_server.send(sqs_queue, json.dumps(signature("count", ("int64", 5), UUID="task_again")))
    [message] = sqs_server.receive(sqs_queue, visibility=1)
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    with make_server(sqs_server.create(f"{sqs_queue}-first")) as first, first.worker(concurrency=1):
        first.send_task(Signature("count", [Arg("int64", 5)], uuid="task_again")).get(timeout=10)

    with server.worker(concurrency=1):
        emptied(sqs_server, sqs_queue)

    assert runs.order == [5]


def test_a_drain_hands_back_at_once(make_server: Make, runs: Runs, sqs_server: SQSServer, sqs_queue: str) -> None:
    """What a worker took and did not begin is visible to others at once when it ends."""
    server = make_server(sqs_queue)
    worker = server.worker(concurrency=1, prefetch=4)
    with worker:
        # Tasks so short that the worker begins to take some in advance.
        for result in server.send_group(Group(*[server.tasks["count"].s(at) for at in range(200)])):
            result.get(timeout=20)
        slow = server.send_group(Group(*[server.tasks["slow"].s(1000 + at, 600) for at in range(4)]))
        wait_until(lambda: sqs_server.counts(sqs_queue)[1] >= 2, 10, "some are taken in advance")
    begun = runs.order.count(1000) + runs.order.count(1001) + runs.order.count(1002) + runs.order.count(1003)
    assert sqs_server.counts(sqs_queue) == (4 - begun, 0)
    with server.worker(concurrency=4):
        assert [result.get(timeout=10) for result in slow] == [1000, 1001, 1002, 1003]
    assert all(runs.of[1000 + at] == 1 for at in range(4))


def test_poison_and_the_unknown_go_to_the_dead_letters(
    make_server: Make, sqs_server: SQSServer, sqs_queue: str
) -> None:
    """What cannot be decoded and what is not registered is left to the redrive policy; the others run meanwhile."""
    queue = f"{sqs_queue}-poison"
    dead = sqs_server.create_with_dead_letters(queue, 1)
    server = make_server(queue, sqs__receive_visibility_timeout=1)
    unknown = json.dumps(signature("elsewhere", UUID="task_unknown"))
    ignored = json.dumps(signature("elsewhere", UUID="task_ignored", IgnoreWhenTaskNotRegistered=True))
    poison = ["{", '{"UUID": 5}', "\ud7ff"]
    sqs_server.send(queue, *poison, unknown, ignored)
    with server.worker(concurrency=2):
        results = [server.tasks["count"].send(number) for number in range(10)]
        assert [result.get(timeout=10) for result in results] == list(range(10))
        wait_until(lambda: sqs_server.counts(dead)[0] == 4, 10, "four dead letters", interval=0.1)
        emptied(sqs_server, queue)

    assert sorted(message["Body"] for message in sqs_server.receive(dead)) == sorted([*poison, unknown])


def test_poison_comes_ever_more_rarely(make_server: Make, sqs_server: SQSServer, sqs_queue: str) -> None:
    """Without a redrive policy, a message that cannot be decoded does not go round and round."""
    server = make_server(sqs_queue, sqs__receive_visibility_timeout=1)
    pauses: list[int] = []

    def note(command: Any) -> None:
        if command[0] == "ChangeMessageVisibilityBatch":
            pauses.extend(entry["VisibilityTimeout"] for entry in command[1]["Entries"])

    server.broker.port.observer = note
    sqs_server.send(sqs_queue, "{")
    with server.worker(concurrency=2):
        wait_until(lambda: 4 in pauses, 60, "the third visit", interval=0.1)

    # A sign of life for what is just being looked at says 1 second, too.
    assert [2, 4] == [pause for pause in pauses if pause > 1]
    assert sqs_server.counts(sqs_queue) == (0, 1)


def test_stop_task_deletion_on_error(make_server: Make, runs: Runs, sqs_server: SQSServer, sqs_queue: str) -> None:
    """A failed task that says so stays, runs again as in Go, and ends in the dead letters; its FAILURE is stored."""
    queue = f"{sqs_queue}-stays"
    dead = sqs_server.create_with_dead_letters(queue, 2)
    server = make_server(queue, sqs__receive_visibility_timeout=1)
    stays = server.send_task(Signature("fail", [Arg("string", "no")], stop_task_deletion_on_error=True))
    goes = server.send_task(Signature("fail", [Arg("string", "never")]))
    with server.worker(concurrency=1):
        with pytest.raises(TaskFailed, match=r"^no$"):
            stays.get(timeout=10)
        with pytest.raises(TaskFailed, match=r"^never$"):
            goes.get(timeout=10)
        wait_until(lambda: sqs_server.counts(dead)[0] == 1, 10, "a dead letter", interval=0.1)

    assert (runs.of["no"], runs.of["never"]) == (2, 1)
    assert sqs_server.counts(queue) == (0, 0)
    [letter] = sqs_server.receive(dead)
    assert json.loads(letter["Body"])["UUID"] == stays.uuid


def test_a_fifo_group_runs_in_order(make_server: Make, runs: Runs, sqs_server: SQSServer, sqs_queue: str) -> None:
    """Of what waits in one group, a worker with room for all runs one after the other; of two groups, two at once."""
    queue = sqs_server.create(f"{sqs_queue}.fifo")
    server = make_server(queue)
    slow = server.tasks["slow"]
    sent = server.send_group(
        Group(*[slow.using(message_group_id=group).s(number, 150) for number in range(1, 5) for group in ("a",)])
    )
    other = slow.using(message_group_id="b").send(9, 150)
    with server.worker(concurrency=8):
        assert [result.get(timeout=10) for result in sent] == [1, 2, 3, 4]
        assert other.get(timeout=10) == 9

    assert [step for step in runs.order if abs(step) != 9] == [1, -1, 2, -2, 3, -3, 4, -4]
    assert runs.order.index(9) < runs.order.index(-4)


def test_what_a_task_sees(make_server: Make, sqs_queue: str) -> None:
    """SQSReceiptHandle is the receipt of its message, as in Go."""
    server = make_server(sqs_queue)
    with server.worker(concurrency=1):
        told: str = server.tasks["handle"].send().get(timeout=10)

    assert len(told) > 20


def test_a_callback_that_cannot_be_sent(make_server: Make, sqs_server: SQSServer, sqs_queue: str) -> None:
    """A chain's next task that SQS cannot take is kept among the dead letters; the first one is done with."""
    queue = f"{sqs_queue}-chain"
    dead = sqs_server.create_with_dead_letters(queue, 5)
    server = make_server(queue)
    count = server.tasks["count"]
    with server.worker(concurrency=1):
        chain = server.send_chain(Chain(count.s(1), count.using(routing_key="no-group.fifo").s()))
        assert chain.members[0].get(timeout=10) == 1
        wait_until(lambda: sqs_server.counts(dead)[0] == 1, 10, "a dead letter", interval=0.05)
        emptied(sqs_server, queue)


def test_what_sqs_can_never_take_leaves_nothing_behind(
    make_server: Make, sqs_server: SQSServer, redis_server: RedisServer, sqs_queue: str
) -> None:
    """Too large, too late or without a FIFO group: an error before any state is stored and any other task is sent."""
    server = make_server(sqs_queue)

    @server.task
    def size(text: str) -> int:
        return len(text)

    large = "y" * 1_100_000
    with pytest.raises(
        SignatureError, match=r"task size has 11\d{5} bytes, SQS takes 1048576; store the data elsewhere"
    ):
        size.send(large)
    with pytest.raises(SignatureError, match="please specify BrokerMessageGroupId"):
        size.using(routing_key="other.fifo").send("x")
    with pytest.raises(SignatureError, match="Max AWS SQS delay exceeded"):
        size.using(countdown=1000).send("x")
    with pytest.raises(SignatureError, match="SQS takes 1048576"):
        server.send_group(Group(*[size.s("x") for _ in range(200)], size.s(large)))
    with pytest.raises(SignatureError, match="SQS takes 1048576"):
        server.send_many(size, [*[("x",)] * 200, (large,)])

    assert redis_server.client.keys() == []
    assert sqs_server.counts(sqs_queue) == (0, 0)


def test_characters_that_sqs_does_not_take(make_server: Make, sqs_queue: str) -> None:
    """They are sent as JSON escapes, which read the same."""
    server = make_server(sqs_queue)

    @server.task
    def echo(text: str) -> str:
        return text

    text = "\ufffe \uffff \x7f \x01 \U0001ffff ż"
    with server.worker(concurrency=1):
        assert echo.send(text).get(timeout=10) == text


def test_many_at_once(make_server: Make, sqs_server: SQSServer, sqs_queue: str) -> None:
    """Ten messages share a request, also when their bodies would be too large together."""
    server = make_server(sqs_queue)
    sent: list[tuple[str, dict[str, Any]]] = []
    server.broker.port.observer = sent.append

    @server.task
    def size(text: str) -> int:
        return len(text)

    small = server.send_group(Group(*[server.tasks["count"].s(at) for at in range(25)]))
    large = server.send_group(Group(*[size.s("x" * 60_000) for _ in range(10)]))
    with server.worker(concurrency=8):
        assert [result.get(timeout=10) for result in small] == list(range(25))
        assert [result.get(timeout=10) for result in large] == [60_000] * 10
        emptied(sqs_server, sqs_queue)

    batches = [len(fields["Entries"]) for action, fields in sent if action == "SendMessageBatch"]
    assert batches == [10, 10, 5, 4, 4, 2]
    with pytest.raises(PublishError, match=r"1 of 2 tasks were not sent: task size \(task_.*\): SQS: "):
        server.send_group(Group(size.s("x"), size.s("y" * 300_000)))
    with pytest.raises(PublishError, match="task size: SQS: "):
        size.send("y" * 300_000)


def test_wrong_settings(make_server: Make, sqs_queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is missing, nobody there and no credentials say so in one line, soon."""
    server = make_server("no-such-queue")
    with pytest.raises(PublishError, match="SQS has no queue 'no-such-queue' at http://") as caught:
        server.send_task(Signature("count"))
    assert "\n" not in str(caught.value)
    with pytest.raises(ServiceError, match="SQS has no queue 'no-such-queue'"):
        server.worker(concurrency=1).start()

    monkeypatch.setitem(os.environ, "AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{free_port()}")
    assert_unavailable(make_server(sqs_queue), "cannot reach SQS at http://127")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    assert_unavailable(make_server(sqs_queue), "no AWS credentials for SQS at http://127")


def assert_unavailable(server: Server, text: str) -> None:
    server.broker.port.prepare()
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=text) as caught:
        server.send_task(Signature("count"))
    assert time.monotonic() - began < 2
    assert "\n" not in str(caught.value)


@pytest.fixture
def command(sqs_server: SQSServer) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run ``gomachinery`` with the broker's URL; its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        whole = [sys.executable, "-m", "gomachinery_py", *arguments, "--broker", sqs_server.url]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def test_command_line(command: Callable[..., tuple[int, str, str]], sqs_server: SQSServer, sqs_queue: str) -> None:
    """Queues are counted and emptied, dead letters brought back; what SQS cannot show is one line."""
    queue = f"{sqs_queue}-cli"
    dead = sqs_server.create_with_dead_letters(queue, 3)
    sqs_server.send(queue, "1", "2")
    sqs_server.send(dead, "3")

    code, out, _ = command("queue", "ls", queue, "--json")
    assert (code, json.loads(out)) == (0, {"queue": queue, "waiting": 2, "inflight": 0, "dead": 1, "workers": 0})
    code, _, error = command("queue", "peek", queue)
    assert (code, error.count("\n"), "SQS shows no waiting tasks" in error) == (1, 1, True)
    assert command("queue", "purge", queue, "--yes")[:2] == (0, "2 dropped\n")
    assert command("queue", "requeue", queue, "--yes")[:2] == (0, "1 put back\n")
    assert (sqs_server.counts(queue), sqs_server.counts(dead)) == ((1, 0), (0, 0))
    code, _, error = command("queue", "ls", "no-such-queue")
    assert (code, error.count("\n"), "SQS has no queue 'no-such-queue'" in error) == (1, 1, True)
