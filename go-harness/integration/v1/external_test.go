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

	"github.com/RichardKnop/machinery/v1/config"
)

func TestExternalWorker(t *testing.T) {
	url := os.Getenv("SUITE_REDIS_URL")
	if url == "" {
		t.Fatal("SUITE_REDIS_URL is not set: redis://host:port")
	}
	testAll(testSetup(&config.Config{
		Broker:        url,
		DefaultQueue:  os.Getenv("SUITE_QUEUE"),
		ResultBackend: url,
		Lock:          url,
	}), t)
}
