// Command worker is a plain Machinery worker with the test tasks.
//
// It prints READY on standard output once it consumes, logs to standard error, drains on the first SIGTERM or
// SIGINT and leaves at once on the second, as Machinery does.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"

	machineryv1 "github.com/RichardKnop/machinery/v1"
	machineryv2 "github.com/RichardKnop/machinery/v2"

	"gomachinery.example/go-harness/internal/connect"
	"gomachinery.example/go-harness/internal/tasks"
)

type settings struct {
	connect.Options
	customQueue, tag, recordKey, only string
	concurrency                       int
	handlers                          bool
}

func main() {
	var s settings
	s.Flags(flag.CommandLine)
	flag.StringVar(&s.customQueue, "custom-queue", "", "consume this queue instead of the default one")
	flag.StringVar(&s.tag, "tag", "go-worker", "consumer tag")
	flag.IntVar(&s.concurrency, "concurrency", 10, "tasks at once (0: Machinery's unlimited)")
	flag.StringVar(&s.recordKey, "record-key", "test:records", "list that the task record appends to")
	flag.StringVar(&s.only, "only", "", "register only these tasks (comma-separated)")
	flag.BoolVar(&s.handlers, "handlers", false, "set every handler, to record its calls")
	flag.Parse()
	if err := run(&s); err != nil {
		connect.Say(os.Stderr, "worker: %v", err)
		os.Exit(1)
	}
}

func run(s *settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	connect.LogTo(os.Stderr, func() { connect.Say(os.Stdout, "READY") })
	recorder, err := s.Recorder(s.recordKey, s.tag)
	if err != nil {
		return err
	}
	if s.Version == connect.V1 {
		return runV1(s, recorder)
	}
	return runV2(s, recorder)
}

func runV1(s *settings, record func(string) error) error {
	server, err := s.ServerV1()
	if err != nil {
		return err
	}
	registered, err := s.choose(tasks.All(tasks.NewEnvV1(record)))
	if err != nil {
		return err
	}
	if err := server.RegisterTasks(registered); err != nil {
		return err
	}
	worker := server.NewCustomQueueWorker(s.tag, s.concurrency, s.customQueue)
	if s.handlers {
		handleV1(server, worker, record)
	}
	err = worker.Launch()
	if errors.Is(err, machineryv1.ErrWorkerQuitGracefully) {
		return nil
	}
	return err
}

func runV2(s *settings, record func(string) error) error {
	server, err := s.ServerV2()
	if err != nil {
		return err
	}
	registered, err := s.choose(tasks.All(tasks.NewEnvV2(record)))
	if err != nil {
		return err
	}
	if err := server.RegisterTasks(registered); err != nil {
		return err
	}
	worker := server.NewCustomQueueWorker(s.tag, s.concurrency, s.customQueue)
	if s.handlers {
		handleV2(server, worker, record)
	}
	err = worker.Launch()
	if errors.Is(err, machineryv2.ErrWorkerQuitGracefully) {
		return nil
	}
	return err
}

// choose keeps the tasks that -only names.
func (s *settings) choose(all map[string]any) (map[string]any, error) {
	if s.Trace {
		all["traced"] = tasks.Traced
	}
	if s.only == "" {
		return all, nil
	}
	names := map[string]bool{}
	for _, name := range strings.Split(s.only, ",") {
		if _, known := all[name]; !known {
			return nil, fmt.Errorf("-only names %q, which is no test task", name)
		}
		names[name] = true
	}
	maps.DeleteFunc(all, func(name string, _ any) bool { return !names[name] })
	return all, nil
}
