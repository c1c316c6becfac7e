package main

import (
	"bytes"
	"encoding/json"
	_ "unsafe" // for go:linkname

	brokers "github.com/RichardKnop/machinery/v2/brokers/iface"
	redisbroker "github.com/RichardKnop/machinery/v2/brokers/redis"
	tasksv2 "github.com/RichardKnop/machinery/v2/tasks"

	"gomachinery.example/go-harness/internal/connect"
	"gomachinery.example/go-harness/internal/tasks"
)

//go:linkname consumeOneV2 github.com/RichardKnop/machinery/v2/brokers/redis.(*Broker).consumeOne
func consumeOneV2(broker *redisbroker.Broker, message []byte, processor brokers.TaskProcessor) error

func startV2(options *connect.Options, called func()) (*worker, error) {
	server, err := options.ServerV2()
	if err != nil {
		return nil, err
	}
	if err := server.RegisterTasks(tasks.All(tasks.NewEnvV2(noRecord))); err != nil {
		return nil, err
	}
	process := server.NewWorker("judge", 1)
	process.SetPreTaskHandler(func(*tasksv2.Signature) { called() })
	broker := server.GetBroker().(*redisbroker.Broker)
	return &worker{
		consumeOne: func(message []byte) error { return consumeOneV2(broker, message, process) },
		uuid: func(message []byte) string {
			signature := new(tasksv2.Signature)
			decoder := json.NewDecoder(bytes.NewReader(message))
			decoder.UseNumber()
			if decoder.Decode(signature) != nil {
				return ""
			}
			return signature.UUID
		},
		state: func(uuid string) (string, string, []any) {
			state, err := server.GetBackend().GetState(uuid)
			if err != nil {
				return "", "", nil
			}
			var results []any
			for _, result := range state.Results {
				results = append(results, result.Value)
			}
			return state.State, state.Error, results
		},
	}, nil
}
