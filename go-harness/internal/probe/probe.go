// Package probe tries what "gomachinery contract go" has made: compat-tests/test_contracts_go.py writes a main package
// that hands it the generated functions.
package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"

	machineryv1 "github.com/RichardKnop/machinery/v1"
	machineryv2 "github.com/RichardKnop/machinery/v2"

	"gomachinery.example/contract"

	"gomachinery.example/go-harness/internal/connect"
)

// Generated is what was made for one version of Machinery: functions by the names of their tasks.
type Generated struct {
	Signatures, Senders map[string]interface{}
}

type request struct {
	Op     string            `json:"op"`
	Name   string            `json:"name"`
	Values []json.RawMessage `json:"values"`
}

// server is what both versions have.
type server interface {
	RegisterTasks(map[string]interface{}) error
	GetRegisteredTaskNames() []string
}

// Main answers requests, one JSON object a line:
//
//   - signature: the message of task name with these values, its UUID being task_fixed
//   - send: sends it; nothing is returned
//   - register: the names that a server has once the registry is registered
//   - contract: what contract.Write makes of the registry
func Main(v1, v2 Generated, registry map[string]interface{}) {
	var o connect.Options
	o.Flags(flag.CommandLine)
	flag.Parse()
	if err := run(&o, v1, v2, registry); err != nil {
		connect.Say(os.Stderr, "probe: %v", err)
		os.Exit(1)
	}
}

func run(o *connect.Options, v1, v2 Generated, registry map[string]interface{}) error {
	if err := o.Check(); err != nil {
		return err
	}
	// Machinery logs to standard output.
	connect.LogTo(os.Stderr, func() {})
	known, machinery := v2, server(nil)
	if o.Version == connect.V1 {
		own, err := o.ServerV1()
		if err != nil {
			return err
		}
		known, machinery = v1, own
	} else {
		own, err := o.ServerV2()
		if err != nil {
			return err
		}
		machinery = own
	}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		answer, err := r.answer(known, machinery, registry)
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.Op, r.Name, err)
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

func (r *request) answer(known Generated, machinery server, registry map[string]interface{}) (interface{}, error) {
	switch r.Op {
	case "signature":
		results, err := r.call(known.Signatures[r.Name])
		if err != nil {
			return nil, err
		}
		results[0].Elem().FieldByName("UUID").SetString("task_fixed")
		written, err := json.Marshal(results[0].Interface())
		return string(written), err
	case "send":
		results, err := r.call(known.Senders[r.Name], reflect.ValueOf(context.Background()), reflect.ValueOf(machinery))
		if err != nil {
			return nil, err
		}
		problem, _ := results[1].Interface().(error)
		return nil, problem
	case "register":
		err := machinery.RegisterTasks(registry)
		return machinery.GetRegisteredTaskNames(), err
	case "contract":
		var written bytes.Buffer
		err := contract.Write(&written, registry, contract.ServedBy("python"))
		return written.String(), err
	}
	return nil, fmt.Errorf("there is no such request")
}

// call calls a function with the values, each as the type that the function takes, after the given ones.
func (r *request) call(function interface{}, given ...reflect.Value) ([]reflect.Value, error) {
	called := reflect.ValueOf(function)
	kind := called.Type()
	for _, value := range r.Values {
		at := len(given)
		var wanted reflect.Type
		if last := kind.NumIn() - 1; kind.IsVariadic() && at >= last {
			wanted = kind.In(last).Elem()
		} else {
			wanted = kind.In(at)
		}
		decoder := json.NewDecoder(bytes.NewReader(value))
		decoder.UseNumber()
		into := reflect.New(wanted)
		if err := decoder.Decode(into.Interface()); err != nil {
			return nil, err
		}
		given = append(given, into.Elem())
	}
	return called.Call(given), nil
}

var (
	_ server = (*machineryv1.Server)(nil)
	_ server = (*machineryv2.Server)(nil)
)
