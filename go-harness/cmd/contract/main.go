// Command contract writes the contract of the test tasks, as a Go service would do it for its own.
//
// Standard input is a JSON object of contract.About by task, for what reflection does not know; it may be {}.
package main

import (
	"encoding/json"
	"flag"
	"os"

	"gomachinery.example/contract"

	"gomachinery.example/go-harness/internal/connect"
	"gomachinery.example/go-harness/internal/tasks"
)

func main() {
	service := flag.String("served-by", "go", "what the service is called")
	flag.Parse()
	if err := run(*service); err != nil {
		connect.Say(os.Stderr, "contract: %v", err)
		os.Exit(1)
	}
}

func run(service string) error {
	about := map[string]contract.About{}
	if err := json.NewDecoder(os.Stdin).Decode(&about); err != nil {
		return err
	}
	options := []contract.Option{contract.ServedBy(service)}
	for name, known := range about {
		options = append(options, contract.With(name, known))
	}
	env := tasks.NewEnvV2(func(string) error { return nil })
	return contract.Write(os.Stdout, tasks.All(env), options...)
}
