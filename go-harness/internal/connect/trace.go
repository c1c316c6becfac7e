package connect

import (
	"context"

	"github.com/opentracing/opentracing-go"
	"go.opentelemetry.io/otel"
	bridge "go.opentelemetry.io/otel/bridge/opentracing"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"gomachinery.example/go-harness/internal/tasks"
)

// trace makes OpenTelemetry, by way of its bridge, what Machinery traces with.
func trace() {
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(followers{}))
	tracer, wrapped := bridge.NewTracerPair(provider.Tracer("go-harness"))
	tracer.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetTracerProvider(wrapped)
	opentracing.SetGlobalTracer(tracer)
}

// followers notes which traces a worker's spans follow: Machinery says FollowsFrom, and the bridge makes that a link
// from a new trace.
type followers struct{}

func (followers) OnStart(_ context.Context, span sdk.ReadWriteSpan) {
	for _, link := range span.Links() {
		tasks.Follows(span.SpanContext().TraceID().String(), link.SpanContext.TraceID().String())
	}
}

func (followers) OnEnd(sdk.ReadOnlySpan)           {}
func (followers) Shutdown(context.Context) error   { return nil }
func (followers) ForceFlush(context.Context) error { return nil }
