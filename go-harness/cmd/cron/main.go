// Command cron shows how robfig/cron reads and follows the specs of periodic tasks.
//
// It reads one JSON object a line from standard input, {"spec": text, "start": RFC 3339 time, "zone": name}, and answers
// each with {"times": the five times that follow start, in zone}, where null stands for the zero time and ends the list,
// {"error": text of ParseStandard}, {"panic": text}, or {"hang": true} when Next has not come back in time. The zone
// "Local" is the machine's own, as TZ sets it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/robfig/cron/v3"

	"gomachinery.example/go-harness/internal/connect"
)

const (
	following = 5
	patience  = 3 * time.Second
)

type request struct {
	Spec  string    `json:"spec"`
	Start time.Time `json:"start"`
	Zone  string    `json:"zone"`
}

type reply struct {
	Times []*string `json:"times,omitempty"`
	Error string    `json:"error,omitempty"`
	Panic string    `json:"panic,omitempty"`
	Hang  bool      `json:"hang,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		connect.Say(os.Stderr, "cron: %v", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	buffered := bufio.NewWriter(out)
	defer buffered.Flush()
	answers := json.NewEncoder(buffered)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("not a request: %v", err)
		}
		zone, err := time.LoadLocation(r.Zone)
		if err != nil {
			return err
		}
		if err := answers.Encode(inTime(r.Spec, r.Start.In(zone))); err != nil {
			return err
		}
	}
	return lines.Err()
}

// inTime answers, and gives up on a Next that never ends (a calendar day that a zone has skipped does that).
func inTime(spec string, start time.Time) reply {
	answered := make(chan reply, 1)
	go func() { answered <- answer(spec, start) }()
	select {
	case r := <-answered:
		return r
	case <-time.After(patience):
		return reply{Hang: true}
	}
}

func answer(spec string, start time.Time) (r reply) {
	defer func() {
		if p := recover(); p != nil {
			r = reply{Panic: fmt.Sprint(p)}
		}
	}()
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return reply{Error: err.Error()}
	}
	for t := start; len(r.Times) < following; {
		t = schedule.Next(t)
		if t.IsZero() {
			r.Times = append(r.Times, nil)
			break
		}
		text := t.Format(time.RFC3339Nano)
		r.Times = append(r.Times, &text)
	}
	return r
}
