// Command scheduler sends periodic tasks as a Go service does. Its one line of standard input is a JSON list of them;
// it says READY when they are registered and ends when its input ends.
//
// The name in the lock's key is this program's: scheduler.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	tasksv1 "github.com/RichardKnop/machinery/v1/tasks"
	tasksv2 "github.com/RichardKnop/machinery/v2/tasks"

	"gomachinery.example/go-harness/internal/connect"
)

// Periodic is one task, chain, group or chord.
type Periodic[Signature any] struct {
	Kind        string       `json:"kind"`
	Spec        string       `json:"spec"`
	Name        string       `json:"name"`
	Signatures  []*Signature `json:"signatures"`
	Callback    *Signature   `json:"callback"`
	Concurrency int          `json:"concurrency"`
}

// Server is what both versions have.
type Server[Signature any] interface {
	RegisterPeriodicTask(spec, name string, signature *Signature) error
	RegisterPeriodicChain(spec, name string, signatures ...*Signature) error
	RegisterPeriodicGroup(spec, name string, concurrency int, signatures ...*Signature) error
	RegisterPeriodicChord(spec, name string, concurrency int, callback *Signature, signatures ...*Signature) error
}

func main() {
	var options connect.Options
	options.Flags(flag.CommandLine)
	flag.Parse()
	if err := run(&options); err != nil {
		connect.Say(os.Stderr, "scheduler: %v", err)
		os.Exit(1)
	}
}

func run(options *connect.Options) error {
	if err := options.Check(); err != nil {
		return err
	}
	connect.LogTo(os.Stderr, func() {})
	in := bufio.NewReader(os.Stdin)
	plan, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := schedule(options, plan); err != nil {
		return err
	}
	fmt.Println("READY")
	_, err = io.Copy(io.Discard, in)
	return err
}

func schedule(options *connect.Options, plan []byte) error {
	if options.Version == connect.V1 {
		server, err := options.ServerV1()
		if err != nil {
			return err
		}
		return register[tasksv1.Signature](server, plan)
	}
	server, err := options.ServerV2()
	if err != nil {
		return err
	}
	return register[tasksv2.Signature](server, plan)
}

func register[Signature any](server Server[Signature], plan []byte) error {
	var entries []Periodic[Signature]
	if err := json.Unmarshal(plan, &entries); err != nil {
		return err
	}
	for _, e := range entries {
		if err := one(server, e); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

func one[Signature any](server Server[Signature], e Periodic[Signature]) error {
	switch e.Kind {
	case "task":
		return server.RegisterPeriodicTask(e.Spec, e.Name, e.Signatures[0])
	case "chain":
		return server.RegisterPeriodicChain(e.Spec, e.Name, e.Signatures...)
	case "group":
		return server.RegisterPeriodicGroup(e.Spec, e.Name, e.Concurrency, e.Signatures...)
	case "chord":
		return server.RegisterPeriodicChord(e.Spec, e.Name, e.Concurrency, e.Callback, e.Signatures...)
	}
	return fmt.Errorf("kind %q: use task, chain, group or chord", e.Kind)
}
