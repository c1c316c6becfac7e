package tasks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// All returns every test task by name.
func All(env *Env) map[string]any {
	all := map[string]any{
		// The tasks of Machinery's own integration checks.
		"add":                    add,
		"multiply":               multiply,
		"sum":                    sum,
		"return_just_error":      returnJustError,
		"return_multiple_values": returnMultipleValues,
		"panic":                  func() (string, error) { panic(errors.New("oops")) },
		"delay_test":             nowNanoseconds,

		"noop":         func() error { return nil },
		"nano_time":    nowNanoseconds,
		"fail":         func(message string) error { return errors.New(message) },
		"panic_string": func() error { panic("plain text") },
		"panic_other":  func() error { panic(42) },
		"concat":       concat,
		"sleep_ms":     sleepMS,
		"kill_worker":  killWorker,
		"record":       func(parts ...string) error { return env.Record(strings.Join(parts, "|")) },
		"context_signature": func(ctx context.Context) (string, error) {
			_, document, err := env.Signature(ctx)
			return string(document), err
		},
		"retry_later":  env.retryLater,
		"fail_n_times": env.failNTimes,
		"all_scalars":  allScalars,
		"all_slices":   allSlices,
	}
	for name, task := range echoes() {
		all[name] = task
	}
	return all
}

func add(args ...int64) (int64, error) {
	var total int64
	for _, arg := range args {
		total += arg
	}
	return total, nil
}

func multiply(args ...int64) (int64, error) {
	product := int64(1)
	for _, arg := range args {
		product *= arg
	}
	return product, nil
}

func sum(numbers []int64) (int64, error) {
	return add(numbers...)
}

func returnJustError(message string, fail bool) error {
	if fail {
		return errors.New(message)
	}
	return nil
}

func returnMultipleValues(first, second string, fail bool) (string, string, error) {
	if fail {
		return "", "", errors.New("some error")
	}
	return first, second, nil
}

func nowNanoseconds() (int64, error) {
	return time.Now().UTC().UnixNano(), nil
}

func concat(parts ...string) (string, error) {
	return strings.Join(parts, ""), nil
}

func sleepMS(milliseconds int64) (int64, error) {
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	return milliseconds, nil
}

// killWorker does what a fault in C code or the system's memory killer does.
func killWorker(milliseconds int64) error {
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// retryLater asks `times` times for another run after a delay, then returns how often it ran.
func (e *Env) retryLater(ctx context.Context, message string, milliseconds, times int64) (int64, error) {
	run, err := e.run(ctx)
	if err != nil {
		return 0, err
	}
	if run <= times {
		return 0, e.RetryLater(message, time.Duration(milliseconds)*time.Millisecond)
	}
	return run, nil
}

// failNTimes fails `times` times, then returns how often it ran.
func (e *Env) failNTimes(ctx context.Context, times int64) (int64, error) {
	run, err := e.run(ctx)
	if err != nil {
		return 0, err
	}
	if run <= times {
		return 0, fmt.Errorf("failure %d", run)
	}
	return run, nil
}
