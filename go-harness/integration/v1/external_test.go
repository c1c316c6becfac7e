//go:build machinery_suite

// Package integration_test runs Machinery's own integration checks against a worker that runs elsewhere.
//
// It is built with Machinery's suite_test.go laid beside this file (go test -overlay); the suite itself is not copied
// here. compat-tests/test_integration_checks.py does that.
package integration_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	_ "github.com/stretchr/testify/assert" // the suite's only other import, pinned in go.mod by this line

	"gomachinery.example/go-harness/internal/connect"
)

// SUITE_FLAGS are flags as cmd/producer takes them, one a line.
func TestExternalWorker(t *testing.T) {
	var options connect.Options
	flags := flag.NewFlagSet("SUITE_FLAGS", flag.ContinueOnError)
	options.Flags(flags)
	if err := flags.Parse(strings.Split(os.Getenv("SUITE_FLAGS"), "\n")); err != nil {
		t.Fatal(err)
	}
	if err := options.Check(); err != nil {
		t.Fatal(err)
	}
	cnf, err := options.ConfigV1()
	if err != nil {
		t.Fatal(err)
	}
	testAll(testSetup(cnf), t)
}
