// Command producer sends tasks as a Go service does: one JSON command a line on standard input, one JSON answer a
// line on standard output. It ends when its input ends. See internal/produce for the commands.
//
// An answer is {"ok": …} or {"error": "text"}.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"os"

	"gomachinery.example/go-harness/internal/connect"
	"gomachinery.example/go-harness/internal/produce"
)

type answer struct {
	OK    any    `json:"ok,omitempty"`
	Error string `json:"error,omitempty"`
}

func main() {
	var options connect.Options
	options.Flags(flag.CommandLine)
	flag.Parse()
	if err := run(&options); err != nil {
		connect.Say(os.Stderr, "producer: %v", err)
		os.Exit(1)
	}
}

func run(options *connect.Options) error {
	if err := options.Check(); err != nil {
		return err
	}
	connect.LogTo(os.Stderr, func() {})
	do, err := doer(options)
	if err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.Encode(reply(line, do)); err != nil {
			return err
		}
	}
}

func reply(line []byte, do func(*produce.Command) (any, error)) answer {
	command := new(produce.Command)
	if err := json.Unmarshal(line, command); err != nil {
		return answer{Error: err.Error()}
	}
	value, err := do(command)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{OK: value}
}

func doer(options *connect.Options) (func(*produce.Command) (any, error), error) {
	if options.Version == connect.V1 {
		server, err := options.ServerV1()
		if err != nil {
			return nil, err
		}
		return produce.V1(server).Do, nil
	}
	server, err := options.ServerV2()
	if err != nil {
		return nil, err
	}
	return produce.V2(server).Do, nil
}
