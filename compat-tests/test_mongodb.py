"""What is stored in MongoDB, compared with live Go by BSON type, and what happens when it goes away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import short_directory
from harness.command_line import gomachinery
from harness.conformance import ConformanceFleet, Subject
from harness.mongo_server import MongoServer
from harness.process import wait_until
from harness.redis_server import RedisServer, free_port
from harness.services import WORKER_KINDS, MongoDBService
from harness.signatures import signature

from gomachinery_py import Server
from gomachinery_py.errors import ServiceUnavailable

# Strings, lists and numbers of every kind that Go can store at all.
RESULTS: list[tuple[str, Any]] = [
    ("bool", True),
    ("int64", 2**40),
    ("float64", 0.5),
    ("string", "ż"),
    ("string", '{"a":[1,"x"]}'),
    ("string", "null"),
    ("[]int64", [1, 2]),
    ("[]string", ["a", ""]),
    ("[]float64", [1.0]),
]


@pytest.fixture(scope="module")
def fleet() -> Iterator[ConformanceFleet]:
    """Workers of every kind on Redis, with results in MongoDB."""
    with short_directory() as directory, ConformanceFleet(Subject("redis", "mongodb"), directory) as fleet:
        yield fleet


def shape(value: Any) -> Any:
    """A document with the BSON type of each value; times and our own attributes left out."""
    if isinstance(value, dict):
        return {
            key: "a date" if key in ("created_at", "delete_at") else shape(each)
            for key, each in value.items()
            if not key.startswith("gmpy_")
        }
    return [shape(each) for each in value] if isinstance(value, list) else (type(value).__name__, value)


def documents(fleet: ConformanceFleet, client: Any, kind: str) -> dict[str, Any]:
    """What one kind of producer and worker leaves behind of the same tasks."""
    fleet.worker(kind)
    producer = fleet.producer(kind, kind)
    tasks, groups = client["machinery"]["tasks"], client["machinery"]["group_metas"]
    sent = [
        producer.send_task({**signature(f"echo_{each}", (each, value)), "UUID": f"{kind}-{number}"}, typed=True)
        for number, (each, value) in enumerate(RESULTS)
    ]
    sent.append(producer.send_task({**signature("fail", ("string", "no luck")), "UUID": f"{kind}-fail"}))
    sent.append(producer.send_task({**signature("noop"), "UUID": f"{kind}-noop"}))
    waiting = producer.send_task({**signature("noop", ETA="2099-01-01T00:00:00Z"), "UUID": f"{kind}-late"})
    members = [{**signature("noop"), "UUID": f"{kind}-member-{number}"} for number in range(2)]
    chord = producer.send_chord(*members, callback={**signature("noop"), "UUID": f"{kind}-callback"})
    every = [*sent, *chord.all]
    wait_until(
        lambda: tasks.count_documents({"_id": {"$in": every}, "state": {"$in": ["SUCCESS", "FAILURE"]}}) == len(every),
        20,
        "every task",
    )
    found = {uuid: tasks.find_one({"_id": uuid}) for uuid in [*every, waiting]}
    found["group"] = groups.find_one({"_id": chord.group_uuid})
    found["group"]["_id"] = "group"
    named = {uuid.replace(kind, "x"): document for uuid, document in found.items()}
    for document in named.values():
        document["_id"] = document["_id"].replace(kind, "x")
    named["group"]["task_uuids"] = [uuid.replace(kind, "x") for uuid in named["group"]["task_uuids"]]
    return {name: shape(document) for name, document in named.items()}


def test_what_is_stored(fleet: ConformanceFleet) -> None:
    """The same fields and BSON types as live v1 and v2, which alone writes delete_at."""
    assert isinstance(fleet.store, MongoDBService)
    with fleet.store.server.connect() as client:
        found = {kind: documents(fleet, client, kind) for kind in WORKER_KINDS}
        indexes = client["machinery"]["tasks"].index_information()

    assert found["python"] == found["v2"]
    without = {
        name: {key: each for key, each in document.items() if key != "delete_at"}
        for name, document in found["v2"].items()
    }
    assert without == found["v1"]
    assert indexes["delete_at_1"]["expireAfterSeconds"] == 0


def test_the_dialect_of_v1(redis_server: RedisServer, mongo: MongoServer) -> None:
    """No delete_at, and v1's indexes; the setting and the database are in the URL, where Go ignores them."""
    url = f"{mongo.url()}/?gmpyDialect=v1&gmpyDatabase=other"
    with Server(redis_server.url(), result_backend=url) as server, mongo.connect() as client:

        @server.task
        def noop() -> None: ...

        with server.worker(concurrency=1):
            result = noop.send()
            assert result.get(timeout=20) is None
        assert "delete_at" not in client["other"]["tasks"].find_one({"_id": result.uuid})
        assert {"state_1", "lock_1"} <= set(client["other"]["tasks"].index_information())


def test_results_are_kept_though_the_setting_is_0(redis_server: RedisServer, mongo: MongoServer) -> None:
    """Go v2 deletes them at once; here 0 is Machinery's hour."""
    with (
        Server(redis_server.url(), result_backend=mongo.url(), results_expire_in=0) as server,
        mongo.connect() as client,
    ):

        @server.task
        def noop() -> None: ...

        with server.worker(concurrency=1):
            result = noop.send()
            result.get(timeout=20)
        document = client["machinery"]["tasks"].find_one({"_id": result.uuid})
        assert 3500 < document["delete_at"].timestamp() - time.time() <= 3600


def test_tasks_outlive_a_restart(redis_server: RedisServer, mongo: MongoServer) -> None:
    """Nothing is acknowledged while MongoDB is away, and the worker goes on by itself when it is back."""
    ran = []
    with Server(redis_server.url(), result_backend=mongo.url()) as server:

        @server.task
        def note(number: int) -> None:
            ran.append(number)

        server.send_many(note, [(number,) for number in range(500)])
        with server.worker(concurrency=4):
            wait_until(lambda: len(ran) > 50, 20, "some tasks")
            mongo.stop()
            time.sleep(0.5)
            mongo.start()
            wait_until(lambda: len(set(ran)) == 500, 60, "all tasks")
            wait_until(lambda: not redis_server.client.keys("*inflight*"), 20, "all of them stored")


def test_text_that_is_no_unicode(redis_server: RedisServer, mongo: MongoServer) -> None:
    """An error that names a file whose name is no UTF-8 is stored, with U+FFFD in it, as Go's JSON has it."""
    with Server(redis_server.url(), result_backend=mongo.url()) as server:

        @server.task
        def fail() -> None:
            raise OSError("cannot read b\udcff")

        with server.worker(concurrency=1):
            result = fail.send()
            wait_until(lambda: result.state.state == "FAILURE", 20, "a failure")
        assert result.state.error == "cannot read b\ufffd"


def test_errors_are_for_people(redis_server: RedisServer) -> None:
    """Nobody there is one line with the password masked, within two seconds."""
    nobody = f"mongodb://user:s3cret@127.0.0.1:{free_port()}"
    options = ("--broker", redis_server.url(), "--result-backend")
    code, out, error = gomachinery("send", "add", "1", *options, nobody)
    assert (code, out, error.count("\n")) == (3, "", 1)
    # MongoDB's client is as patient as the command line itself, and either may speak first.
    assert "cannot reach mongodb" in error.lower()
    assert "s3cret" not in error
    with Server(redis_server.url(), result_backend=nobody) as server:
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable) as caught:
            server.result("x").state  # noqa: B018
        assert time.monotonic() - began < 3
        assert "s3cret" not in str(caught.value)
