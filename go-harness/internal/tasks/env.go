// Package tasks holds the test tasks, once for both Machinery versions.
//
// compat-tests/python_tasks.py has the same tasks in Python, so that every scenario runs on either side.
package tasks

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	tasksv1 "github.com/RichardKnop/machinery/v1/tasks"
	tasksv2 "github.com/RichardKnop/machinery/v2/tasks"
)

// Env is what a few tasks need from the worker around them.
type Env struct {
	// Signature returns the running task's UUID and its signature as JSON.
	Signature func(context.Context) (uuid string, document []byte, err error)
	// RetryLater makes the error that asks for another run.
	RetryLater func(message string, delay time.Duration) error
	// Record appends one line to the list that tests read.
	Record func(line string) error

	mu   sync.Mutex
	runs map[string]int64
}

// NewEnvV1 is the environment of a v1 worker.
func NewEnvV1(record func(string) error) *Env {
	return &Env{
		Signature: func(ctx context.Context) (string, []byte, error) {
			signature := tasksv1.SignatureFromContext(ctx)
			document, err := json.Marshal(signature)
			return signature.UUID, document, err
		},
		RetryLater: func(message string, delay time.Duration) error {
			return tasksv1.NewErrRetryTaskLater(message, delay)
		},
		Record: record,
		runs:   map[string]int64{},
	}
}

// NewEnvV2 is the environment of a v2 worker.
func NewEnvV2(record func(string) error) *Env {
	return &Env{
		Signature: func(ctx context.Context) (string, []byte, error) {
			signature := tasksv2.SignatureFromContext(ctx)
			document, err := json.Marshal(signature)
			return signature.UUID, document, err
		},
		RetryLater: func(message string, delay time.Duration) error {
			return tasksv2.NewErrRetryTaskLater(message, delay)
		},
		Record: record,
		runs:   map[string]int64{},
	}
}

// run counts this execution and returns which one it is, from 1, for the task's UUID in this process.
func (e *Env) run(ctx context.Context) (int64, error) {
	uuid, _, err := e.Signature(ctx)
	if err != nil {
		return 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runs[uuid]++
	return e.runs[uuid], nil
}
