"""What real Celery has left in a queue is translated, and runs on Machinery as it would have under Celery."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.process import wait_until
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from test_celery import EXAMPLE, HERE, moved

TIMEOUT = 60


class Site:
    """A directory with the example twice: as Celery has it, and moved; and where both keep their tasks."""

    def __init__(self, directory: Path, broker: str, backend: str) -> None:
        self.old, self.new = directory / "old", directory / "new"
        for target in (self.old, self.new):
            target.mkdir()
            for name in ("tasks.py", "leftovers.py"):
                text = (EXAMPLE / name).read_text(encoding="utf-8")
                (target / name).write_text(moved(text) if target is self.new else text, encoding="utf-8")
        self.environment = os.environ | {"EXAMPLE_BROKER": broker, "EXAMPLE_BACKEND": backend}
        self.environment |= {"BROKER": broker, "RESULT_BACKEND": backend, "PYTHONPATH": str(HERE.parent)}

    def leave(self, **variables: str) -> Any:
        """What ``leftovers.py`` left, as it says."""
        done = subprocess.run(
            [sys.executable, "leftovers.py"],
            cwd=self.old,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def translation(self, *arguments: str) -> subprocess.Popen[str]:
        """``gomachinery celery translate`` in the moved program's directory."""
        command = [sys.executable, "-m", "gomachinery_py", "celery", "translate", "--json", *arguments]
        return subprocess.Popen(
            command, cwd=self.new, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def translate(self, *arguments: str, code: int = 0) -> tuple[dict[str, Any], dict[str, int]]:
        """The verdicts by id, and the counts."""
        process = self.translation(*arguments)
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, err) == (code, ""), err + out
        *verdicts, counts = map(json.loads, out.splitlines())
        return {verdict["id"]: verdict for verdict in verdicts}, counts

    @contextmanager
    def program(self) -> Iterator[Any]:
        """The moved program in this process, its ``tasks`` module, with a worker."""
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.syspath_prepend(str(self.new))
            for name in ("EXAMPLE_BROKER", "EXAMPLE_BACKEND"):
                patch.setenv(name, self.environment[name])
            patch.delitem(sys.modules, "tasks", raising=False)
            import tasks  # type: ignore[import-not-found]

            stack.callback(sys.modules.pop, "tasks", None)
            with tasks.app, tasks.app.worker(2):
                yield tasks


@pytest.fixture
def redis_site(redis_server: RedisServer, tmp_path: Path) -> Site:
    """Celery and Machinery on one Redis."""
    return Site(tmp_path, redis_server.url(), redis_server.url())


@pytest.fixture
def rabbit_site(rabbit_server: RabbitServer, vhost: str, redis_server: RedisServer, tmp_path: Path) -> Site:
    """Celery and Machinery on one RabbitMQ, results on Redis."""
    return Site(tmp_path, rabbit_server.url(vhost), redis_server.url())


@pytest.fixture(params=["redis", "rabbitmq"])
def site(request: pytest.FixtureRequest) -> Any:
    """Either."""
    return request.getfixturevalue("redis_site" if request.param == "redis" else "rabbit_site")


def check_outcomes(tasks: Any, left: dict[str, str]) -> None:
    """What was left comes to what it would have come to under Celery."""
    results = {name: tasks.app.AsyncResult(uuid) for name, uuid in left.items()}
    assert results["plain"].get(timeout=TIMEOUT) == 3
    assert results["keywords"].get(timeout=TIMEOUT) == "((1,), {'x': {'a': [None]}})"
    assert "datetime.date(" in results["values"].get(timeout=TIMEOUT)
    assert [results[name].get(timeout=TIMEOUT) for name in ("eta", "expires", "headers", "group")] == [4, 5, 6, None]
    assert results["chain"].get(timeout=TIMEOUT) == "((7,), {})"
    assert results["chain with map"].get(timeout=TIMEOUT) == [1, 5]
    wait_until(lambda: len(tasks.seen) >= 4, TIMEOUT, "what was noted")
    assert sorted(map(repr, tasks.seen)) == [
        "['called back']", "['immutable']", "['retried']", "[11, 'linked']",
    ]  # fmt: skip
    assert results["errors"].state == "FAILURE"
    if "expired" in results:
        wait_until(results["expired"].ready, TIMEOUT, "what has expired")
        assert results["expired"].state == "REVOKED"


def test_leftovers(site: Site) -> None:
    """Each kind is translated and runs; what has no translation stays where it is, with its reason."""
    messages, results = site.leave()
    refused = messages.keys() - results.keys()
    seen, counts = site.translate("--app", "tasks:app", "--dry-run", code=1)
    again, counts_again = site.translate("--app", "tasks:app", "--yes", code=1)

    assert (seen, counts) == (again, counts_again)
    why = {name: (seen[uuid]["refused"] or "").split(";")[0] for name, uuid in messages.items()}
    assert "nothing can run before it" in why["chord in a chain"]
    assert {name: text for name, text in why.items() if text} == {
        "pickle": "it is pickled, and nothing is ever unpickled here",
        "time limit": "it has a time limit, which nobody keeps here",
        "chord": "it is a member of a chord, and what the others returned is in Celery's result store",
        "chord in a chain": why["chord in a chain"],
    }
    # Both members of the chord.
    assert counts == {"translated": len(results), "refused": len(refused) + 1, "gone": 0, "held": 0}
    third, counts = site.translate("--app", "tasks:app", "--yes", code=1)
    assert counts == {"translated": 0, "refused": len(refused) + 1, "gone": 0, "held": 0}
    assert list(third) == [uuid for uuid, verdict in seen.items() if verdict["refused"]]
    with site.program() as tasks:
        check_outcomes(tasks, results)


def test_without_the_app(redis_site: Site) -> None:
    """Plain calls need no app; what depends on who serves it stays."""
    messages, _ = redis_site.leave()
    seen, _ = redis_site.translate("--to", "elsewhere", "--yes", code=1)

    assert {name for name, uuid in messages.items() if not seen[uuid]["refused"]} == {
        "plain", "values", "eta", "headers", "group", "chain with map",
    }  # fmt: skip
    assert {verdict["queue"] for verdict in seen.values()} == {"elsewhere", None}


def test_priorities(redis_site: Site, redis_server: RedisServer) -> None:
    """kombu's lists of priorities are read too, the most urgent first."""
    urgent = redis_site.leave(EXAMPLE_PRIORITY="1")
    seen, _ = redis_site.translate("--yes")
    waiting = [json.loads(body)["UUID"] for body in redis_server.client.lrange("machinery_tasks", 0, -1)]

    assert list(seen) == waiting == [urgent[0], urgent[2], urgent[1]]


def test_another_server(redis_server: RedisServer, make_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    """From one Redis to another, each message is sent first and taken out then."""
    target = make_redis()
    site = Site(tmp_path, redis_server.url(), redis_server.url())
    ids = site.leave(EXAMPLE_MANY="20")
    _, counts = site.translate("--from", redis_server.url(), "--broker", target.url(), "--yes")

    assert counts["translated"] == 20
    assert ids == [json.loads(body)["UUID"] for body in target.client.lrange("machinery_tasks", 0, -1)]
    assert redis_server.client.exists("celery") == 0


def killed(site: Site, *arguments: str, after: int) -> None:
    """Kill a translation when it has told of so many messages."""
    process = site.translation("--yes", *arguments)
    assert process.stdout is not None
    for _ in range(after):
        assert process.stdout.readline() != ""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)


def test_killed_on_one_redis(redis_site: Site, redis_server: RedisServer) -> None:
    """Killed again and again nothing is lost, and nothing comes twice."""
    ids = redis_site.leave(EXAMPLE_MANY="400")
    for after in (1, 37, 150):
        killed(redis_site, after=after)
    redis_site.translate("--yes")
    waiting = [json.loads(body)["UUID"] for body in redis_server.client.lrange("machinery_tasks", 0, -1)]

    assert ids == waiting


def test_killed_between_two(rabbit_site: Site, rabbit_server: RabbitServer, vhost: str) -> None:
    """On RabbitMQ nothing is lost; each kill may repeat the message that was under way."""
    ids = rabbit_site.leave(EXAMPLE_MANY="150")
    kills = (1, 40)
    for after in kills:
        killed(rabbit_site, after=after)
    wait_until(lambda: rabbit_server.consumers("celery", vhost) == 0, TIMEOUT, "the end of the killed consumers")
    rabbit_site.translate("--yes")
    channel = rabbit_server.connect(vhost)
    found: Counter[str] = Counter()
    while (got := channel.basic_get("machinery_tasks", auto_ack=True))[0] is not None:
        found[json.loads(got[2])["UUID"]] += 1
    channel.connection.close()

    assert set(ids) == set(found)
    assert sum(found.values()) - len(ids) <= len(kills)
    assert rabbit_server.counts("celery", vhost) == (0, 0)


def test_held_by_celery(redis_site: Site, redis_server: RedisServer) -> None:
    """What Celery's workers hold is counted, so that nobody takes an empty queue for the end."""
    redis_server.client.hset("unacked", "tag", "message")
    _, counts = redis_site.translate("--yes")

    assert counts == {"translated": 0, "refused": 0, "gone": 0, "held": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--app", "tasks:xsum"], 2, "no app of gomachinery_py.compat.celery"),
        (["--from", "redis://127.0.0.1:1", "--yes"], 3, "127.0.0.1:1"),
        (["--from", "kafka://h", "--yes"], 1, "no broker for kafka"),
        (["not_a_queue", "--yes"], 1, "holds a string, not a queue"),
    ],
)
def test_mistakes(redis_site: Site, redis_server: RedisServer, arguments: list[str], code: int, said: str) -> None:
    """Mistakes are one line and an exit code."""
    redis_server.client.set("not_a_queue", "x")
    process = redis_site.translation("--broker", redis_server.url(), *arguments)
    _, err = process.communicate(timeout=TIMEOUT)

    assert (code, 1) == (process.returncode, err.count("\n"))
    assert said in err
