"""Spans of sends and runs, one trace across both, and what it leaves in headers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from inprocess import FakeRedisPort, server_on, work_until_quiet
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gomachinery_py import Chain, Chord, Group, Server, Signature
from gomachinery_py.signing import Signing
from gomachinery_py.tracing import Tracing


class Traced:
    """A server whose spans are kept."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.provider = provider
        self.port = FakeRedisPort()
        self.server: Server = server_on(self.port, observers=[Tracing(provider)])

        @self.server.task
        def add(*numbers: int) -> int:
            return sum(numbers)

        @self.server.task
        def fails() -> None:
            raise ValueError("no luck")

        @self.server.task
        async def sends() -> None:
            add.signature(1)
            await asyncio.sleep(0)

        self.add, self.fails, self.sends = add, fails, sends

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_run_goes_on_with_the_senders_trace(traced: Traced) -> None:
    """The worker's span is a child of the producer's, with Machinery's tags and kinds."""
    result = traced.add.send(1, 2)
    work_until_quiet(traced.server)

    spans = traced.spans()
    sent, ran = spans["SendTask"], spans["add"]
    assert (sent.kind, ran.kind) == (trace.SpanKind.PRODUCER, trace.SpanKind.CONSUMER)
    assert ran.parent is not None
    assert sent.context is not None
    assert (ran.parent.trace_id, ran.parent.span_id) == (sent.context.trace_id, sent.context.span_id)
    for span, operation in ((sent, "send"), (ran, "process")):
        assert attributes(span) == {
            "component": "machinery",
            "signature.name": "add",
            "signature.uuid": result.uuid,
            "messaging.system": "machinery",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": "machinery_tasks",
            "messaging.message.id": result.uuid,
        }


def test_a_failure_is_an_error_of_its_span(traced: Traced) -> None:
    """With the exception as an event."""
    traced.fails.send()
    work_until_quiet(traced.server)

    span = traced.spans()["fails"]
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "no luck")
    assert [event.name for event in span.events] == ["exception"]


def test_every_task_of_a_workflow_is_in_its_trace(traced: Traced) -> None:
    """A chain's later tasks and a chord's callback too, whoever sends them."""
    chain = Chain(traced.add.s(1), traced.add.s(2), traced.add.s(3))
    traced.server.send_chain(chain)
    chord = Chord(Group(traced.add.s(1), traced.add.s(2)), traced.add.s(3))
    traced.server.send_chord(chord)
    work_until_quiet(traced.server)

    finished = traced.exporter.get_finished_spans()
    for name, runs in (("SendChain", 3), ("SendChord", 3)):
        sent = traced.spans()[name]
        assert sent.context is not None
        mine = [span for span in finished if span.context and span.context.trace_id == sent.context.trace_id]
        assert [span.name for span in mine if span is not sent] == ["add"] * runs
    about = attributes(traced.spans()["SendChord"])
    assert about["group.uuid"] == chord.group.group_uuid
    assert about["group.tasks.length"] == 2
    assert about["chord.callback.uuid"] == chord.callback.uuid
    assert attributes(traced.spans()["SendChain"])["chain.tasks.length"] == 3


def test_a_trace_that_is_under_way_goes_on(traced: Traced) -> None:
    """A send inside a span is part of it; headers of one's own are kept, and nothing is written into the caller's."""
    mine = {"mine": "x"}
    signature = Signature("add", headers=mine)
    with trace.get_tracer("test", tracer_provider=traced.provider).start_as_current_span("request") as request:
        traced.server.send_task(signature)
    [waiting] = traced.server.pending()

    headers = waiting.headers or {}
    assert headers["mine"] == "x"
    assert f"-{request.get_span_context().trace_id:032x}-" in headers["traceparent"]
    assert (signature.headers, mine) == ({"mine": "x"}, {"mine": "x"})


def test_headers_that_are_no_trace(traced: Traced) -> None:
    """Numbers and nonsense in the place of a trace begin a new one."""
    for number, header in enumerate((1, None, "nonsense", ["00-1-1-1"])):
        body = Signature("add", uuid=f"task_{number}", headers={"traceparent": header})
        server_on(traced.port).send_task(body)
    work_until_quiet(traced.server)
    assert [span.parent for span in traced.exporter.get_finished_spans()] == [None] * 4


def test_a_traced_task_stays_signed(traced: Traced) -> None:
    """The trace is in headers, which a signature does not cover."""
    signing = Signing("a key that is long enough")
    traced.server._signing, traced.server._producer._sign = signing, signing.sign
    traced.sends.send()
    work_until_quiet(traced.server)
    assert set(traced.spans()) == {"SendTask", "sends"}
