package main

import (
	"fmt"

	machineryv1 "github.com/RichardKnop/machinery/v1"
	tasksv1 "github.com/RichardKnop/machinery/v1/tasks"
	machineryv2 "github.com/RichardKnop/machinery/v2"
	tasksv2 "github.com/RichardKnop/machinery/v2/tasks"
)

// calls appends one line per call of a handler to the list of records.
type calls func(line string) error

func (c calls) task(handler, name string, retries int) {
	c.line(fmt.Sprintf("%s|%s|%d", handler, name, retries))
}

func (c calls) failure(err error) {
	c.line("error|" + err.Error())
}

func (c calls) line(text string) {
	if err := c(text); err != nil {
		panic(err)
	}
}

// handleV1 sets every handler of a v1 server and worker; the pre-publish one also leaves a header.
func handleV1(server *machineryv1.Server, worker *machineryv1.Worker, record calls) {
	server.SetPreTaskHandler(func(s *tasksv1.Signature) {
		s.Headers["published"] = s.Name
		record.task("publish", s.Name, s.RetryCount)
	})
	worker.SetPreTaskHandler(func(s *tasksv1.Signature) { record.task("pre", s.Name, s.RetryCount) })
	worker.SetPostTaskHandler(func(s *tasksv1.Signature) { record.task("post", s.Name, s.RetryCount) })
	worker.SetErrorHandler(record.failure)
}

// handleV2 is handleV1 for v2.
func handleV2(server *machineryv2.Server, worker *machineryv2.Worker, record calls) {
	server.SetPreTaskHandler(func(s *tasksv2.Signature) {
		s.Headers["published"] = s.Name
		record.task("publish", s.Name, s.RetryCount)
	})
	worker.SetPreTaskHandler(func(s *tasksv2.Signature) { record.task("pre", s.Name, s.RetryCount) })
	worker.SetPostTaskHandler(func(s *tasksv2.Signature) { record.task("post", s.Name, s.RetryCount) })
	worker.SetErrorHandler(record.failure)
}
