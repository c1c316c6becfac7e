package tasks

import (
	"context"
	"strings"
	"sync"

	"github.com/opentracing/opentracing-go"
)

var followed sync.Map

// Follows notes that one trace follows another.
func Follows(trace, other string) { followed.Store(trace, other) }

// Traced returns the trace that a task runs in and the one that it follows; empty where there is none.
func Traced(ctx context.Context) ([]string, error) {
	span := opentracing.SpanFromContext(ctx)
	if span == nil {
		return []string{"", ""}, nil
	}
	carrier := opentracing.TextMapCarrier{}
	if err := opentracing.GlobalTracer().Inject(span.Context(), opentracing.TextMap, carrier); err != nil {
		return nil, err
	}
	parts := strings.Split(carrier["traceparent"], "-")
	other, _ := followed.Load(parts[1])
	text, _ := other.(string)
	return []string{parts[1], text}, nil
}
