//go:build machinery_suite

// Package integration_test runs Machinery's own integration checks against a worker that runs elsewhere.
//
// It is built with Machinery's suite_test.go laid beside this file (go test -overlay); the suite itself is not copied
// here. compat-tests/test_integration_checks.py does that.
package integration_test

import (
	"os"
	"testing"

	_ "github.com/stretchr/testify/assert" // the suite's only other import, pinned in go.mod by this line

	"gomachinery.example/go-harness/internal/connect"
)

func TestExternalWorker(t *testing.T) {
	options := &connect.Options{
		Version:     connect.V2,
		Client:      os.Getenv("SUITE_CLIENT"),
		Broker:      os.Getenv("SUITE_REDIS_URL"),
		Queue:       os.Getenv("SUITE_QUEUE"),
		NormalPoll:  1000,
		DelayedPoll: 500,
	}
	if err := options.Check(); err != nil {
		t.Fatal(err)
	}
	server, err := options.ServerV2()
	if err != nil {
		t.Fatal(err)
	}
	registerTestTasks(server)
	testAll(server, t)
}
