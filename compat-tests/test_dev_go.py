"""``gomachinery dev`` with Go: real Machinery workers on the embedded Redis."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gobuild
import pytest

from gomachinery_py import Chain, Chord, Group, Server
from gomachinery_py.demo.embedded import EmbeddedRedis


def test_dev_shows_both_directions() -> None:
    """Python to a Go worker and a Go producer to Python, in under two minutes with everything built."""
    gobuild.binary("worker")
    gobuild.binary("producer")
    started = time.monotonic()
    command = [sys.executable, "-m", "gomachinery_py", "dev", "--once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr, "✗" in done.stdout) == (0, "", False), done.stdout
    assert re.search(r"✓ Python → Go \(v2 worker\): add\(20, 22\) +42 ", done.stdout)
    assert re.search(r"✓ Go \(v1 producer\) → Python: add\(20, 22\) +42 ", done.stdout)
    assert time.monotonic() - started < 120


@pytest.fixture
def embedded() -> Iterator[EmbeddedRedis]:
    """An embedded Redis with nobody on it."""
    with EmbeddedRedis() as redis:
        yield redis


@contextlib.contextmanager
def go_worker(redis: EmbeddedRedis, version: str, client: str) -> Iterator[None]:
    """A Go worker on the embedded Redis."""
    command = [str(gobuild.binary("worker")), f"-version={version}", f"-client={client}", f"-broker={redis.url}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "READY\n"
            yield
        finally:
            child.kill()


@pytest.mark.parametrize(("version", "client"), [("v1", "redigo"), ("v2", "redigo"), ("v2", "goredis")])
def test_a_go_worker_works_on_the_embedded_redis(embedded: EmbeddedRedis, version: str, client: str) -> None:
    """Tasks, chain, chord and delay, all done by unmodified Machinery."""
    with Server(embedded.url) as server, go_worker(embedded, version, client):

        @server.remote()
        def add(*numbers: int) -> int:
            raise NotImplementedError

        @server.remote()
        def multiply(*numbers: int) -> int:
            raise NotImplementedError

        assert add.send(20, 22).get(20) == 42
        assert server.send_chain(Chain(add.s(2, 2), add.s(5, 6), multiply.s(4))).get(20) == 60
        chord = Chord(Group(add.s(1, 1), add.s(2, 2), add.s(5, 6)), multiply.s())
        assert server.send_chord(chord).get(20) == 88
        assert add.using(countdown=0.5).send(1, 2).get(20) == 3
        values: list[Any] = [result.get(20) for result in server.send_many(add, [(n, n) for n in range(200)])]
        assert values == [2 * n for n in range(200)]


def test_the_go_lines_to_join_in_compile(tmp_path: Path) -> None:
    """What is printed is Go, and its server sends a task that the demo's worker does."""
    command = [sys.executable, "-m", "gomachinery_py", "dev", "--no-go"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            shown = ""
            while "Ctrl-C ends it" not in shown:
                shown += child.stdout.readline()
            found = re.search(r"Go +(machinery\.NewServer\(.*\))   // machinery/v1", shown, re.DOTALL)
            assert found is not None
            source = _GO.replace("NEW_SERVER", found[1])
            (tmp_path / "main.go").write_text(source)
            ran = subprocess.run(
                [gobuild.go(), "run", str(tmp_path / "main.go")],
                cwd=gobuild.HARNESS,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert (ran.returncode, json.loads(ran.stdout or "null")) == (0, 42), ran.stderr
        finally:
            child.terminate()


_GO = """package main

import (
	"fmt"
	"time"

	machinery "github.com/RichardKnop/machinery/v1"
	"github.com/RichardKnop/machinery/v1/config"
	"github.com/RichardKnop/machinery/v1/tasks"
)

func main() {
	server, err := NEW_SERVER
	if err != nil {
		panic(err)
	}
	sent, err := server.SendTask(&tasks.Signature{
		Name: "add",
		Args: []tasks.Arg{{Type: "int64", Value: 20}, {Type: "int64", Value: 22}},
	})
	if err != nil {
		panic(err)
	}
	results, err := sent.GetWithTimeout(20*time.Second, 10*time.Millisecond)
	if err != nil {
		panic(err)
	}
	fmt.Println(results[0].Interface())
}
"""
