"""Traces across languages: Go traces with OpenTelemetry's bridge to OpenTracing, as Machinery's users do.

A Go worker says that its span *follows from* the sender's, which the bridge makes a link from a new trace. So what
begins in Go goes on here under one trace id, and a Go worker's trace links to ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.go_worker import GoWorker
from harness.redis_server import RedisServer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gomachinery_py import Chain, Chord, Group, Server
from gomachinery_py.tracing import Tracing

PYTHON = "python_tasks"
VERSIONS = ["v1", "v2"]


def current_trace() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


class Service:
    """A traced Python service with a worker on a queue of its own."""

    def __init__(self, url: str) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.server = Server(url, observers=[Tracing(self.provider)])

        @self.server.remote("traced")
        def in_go() -> list[str]:
            raise NotImplementedError

        @self.server.task(queue=PYTHON)
        def both() -> list[str]:
            """The trace of this run, and the one that a run in Go follows which it starts."""
            _, followed = in_go.send().get(timeout=20)
            return [current_trace(), followed]

        @self.server.task(queue=PYTHON)
        def here(*_before: list[str]) -> str:
            return current_trace()

        self.in_go, self.both, self.here = in_go, both, here

    def span(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span


@pytest.fixture
def service(redis_server: RedisServer) -> Iterator[Service]:
    service = Service(redis_server.url())
    with service.server, service.server.worker(queue=PYTHON):
        yield service
    service.provider.shutdown()


@pytest.mark.parametrize("version", VERSIONS)
def test_from_go_to_python_and_back(
    version: str, service: Service, go_worker: Callable[..., GoWorker], go_producer: Callable[..., Any]
) -> None:
    """A trace that begins in a Go service goes on in a Python worker, and a Go worker behind it knows its id."""
    go_worker(version, trace="true")
    go = go_producer(version, trace="true")
    uuid = go.send_task({"Name": "both", "RoutingKey": PYTHON}, with_context=True)

    mine, followed_in_go = service.server.result(uuid).get(timeout=20)

    parent = service.span("both").parent
    assert parent is not None
    assert parent.is_remote
    assert {mine, followed_in_go} == {f"{parent.trace_id:032x}"}


@pytest.mark.parametrize("version", VERSIONS)
def test_workflows_are_one_trace(version: str, service: Service, go_worker: Callable[..., GoWorker]) -> None:
    """Whoever gets a task from Python knows its trace; a callback that Go itself sends has a trace of its own."""
    go_worker(version, trace="true")
    server, in_go, here = service.server, service.in_go, service.here

    chain = server.send_chain(Chain(here.using(immutable=True).s(), in_go.s()))
    [_, followed] = chain.get(timeout=20)
    assert {chain.members[0].get(timeout=5), followed} == {trace_of(service.span("SendChain"))}

    chord = server.send_chord(Chord(Group(in_go.s(), in_go.s()), here.s()))
    assert len(chord.get(timeout=20)) == 32
    assert {member.get(timeout=5)[1] for member in chord.group} == {trace_of(service.span("SendChord"))}
