"""Traces across languages, by OpenTelemetry: ``Server(url, observers=[Tracing()])``. Needs the extra ``tracing``.

Machinery carries the trace in a task's headers, as OpenTracing's text map; with OpenTelemetry's bridge those are W3C's
``traceparent`` and ``tracestate``, which are written and read here. So a trace that begins in a Go service goes on in a
Python worker, and the other way round; Go's bridge makes its worker's span a new trace that *links* to the sender's,
and a Go worker begins a new trace for each callback that it sends. Names and tags of spans are Machinery's, beside
OpenTelemetry's conventions for messaging. Go source: ``v2/tracing/tracing.go``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from gomachinery_py.errors import MissingExtra
from gomachinery_py.observing import Observer, Workflow
from gomachinery_py.wire.model import Signature

try:
    from opentelemetry import context, trace
    from opentelemetry.propagators.textmap import TextMapPropagator, default_setter
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    raise MissingExtra(
        f"{missing.name} is not installed, which tracing needs: pip install 'gomachinery-py[tracing]'"
    ) from missing

__all__ = ["Tracing"]

_SPANS: Final[dict[Workflow, str]] = {
    "task": "SendTask",
    "tasks": "SendTask",
    "chain": "SendChain",
    "group": "SendGroup",
    "chord": "SendChord",
}


class _PlainTraceContext(TraceContextTextMapPropagator):
    """Writes the one flag of W3C's first level: Go's readers drop a trace with the second level's *random* bit."""

    def inject(self, carrier: Any, context: Any = None, setter: Any = default_setter) -> None:
        span = trace.get_current_span(context).get_span_context()
        flags = trace.TraceFlags(span.trace_flags & trace.TraceFlags.SAMPLED)
        plain = trace.SpanContext(span.trace_id, span.span_id, span.is_remote, flags, span.trace_state)
        super().inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(plain)), setter)


class Tracing(Observer):
    """Producer and consumer spans.

    Args:
        provider: where spans go; OpenTelemetry's global provider unless given.
        propagator: how headers are written and read; W3C trace context unless given.
    """

    def __init__(
        self, provider: trace.TracerProvider | None = None, propagator: TextMapPropagator | None = None
    ) -> None:
        self._tracer = trace.get_tracer("gomachinery_py", tracer_provider=provider)
        self._propagator = propagator or _PlainTraceContext()

    @contextmanager
    def sending(self, workflow: Workflow, signatures: Sequence[Signature], queue: str) -> Iterator[None]:
        attributes = {
            "component": "machinery",
            **_messaging("send", signatures[0], queue),
            **_sent(workflow, signatures),
        }
        with self._tracer.start_as_current_span(_SPANS[workflow], kind=trace.SpanKind.PRODUCER, attributes=attributes):
            for signature in signatures:
                # A new dict: the caller's own stays as it is.
                headers = dict(signature.headers or {})
                self._propagator.inject(headers)
                signature.headers = headers
            yield

    @contextmanager
    def running(self, signature: Signature, queue: str) -> Iterator[Callable[[BaseException | None], None]]:
        # Go reads texts only.
        carrier = {key: value for key, value in (signature.headers or {}).items() if isinstance(value, str)}
        parent = self._propagator.extract(carrier, context.Context())
        attributes = {"component": "machinery", **_messaging("process", signature, queue), **_about(signature)}
        with self._tracer.start_as_current_span(
            signature.name, context=parent, kind=trace.SpanKind.CONSUMER, attributes=attributes
        ) as span:

            def ended(error: BaseException | None) -> None:
                if error is not None:
                    span.record_exception(error)
                    span.set_status(trace.StatusCode.ERROR, str(error))

            yield ended


def _messaging(operation: str, signature: Signature, queue: str) -> dict[str, Any]:
    """OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "machinery",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": signature.routing_key or queue,
        "messaging.message.id": signature.uuid,
    }


def _sent(workflow: Workflow, signatures: Sequence[Signature]) -> dict[str, Any]:
    """What Machinery tells of a send."""
    if workflow == "task":
        return _about(signatures[0])
    if workflow == "tasks":
        return {"signature.name": signatures[0].name, "messaging.batch.message_count": len(signatures)}
    if workflow == "chain":
        return {"machinery.workflow": "chain", "chain.tasks.length": len(signatures)}
    members = signatures[:-1] if workflow == "chord" else signatures
    about: dict[str, Any] = {
        "machinery.workflow": workflow,
        "group.uuid": members[0].group_uuid if members else "",
        "group.tasks.length": len(members),
        "group.tasks": json.dumps([member.uuid for member in members], separators=(",", ":")),
    }
    if workflow == "chord":
        about["chord.callback.uuid"] = signatures[-1].uuid
    return about


def _about(signature: Signature) -> dict[str, Any]:
    """What Machinery tells of a task."""
    about = {"signature.name": signature.name, "signature.uuid": signature.uuid}
    if signature.group_uuid:
        about["signature.group.uuid"] = signature.group_uuid
    if signature.chord_callback is not None:
        about["signature.chord.callback.uuid"] = signature.chord_callback.uuid
        about["signature.chord.callback.name"] = signature.chord_callback.name
    return about
