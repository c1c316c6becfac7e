// Command sendbench times what a Go producer does, for benchmarks/throughput.py.
//
// It prints one JSON object: tasks a second for single sends on one goroutine and for groups sent with concurrency 20
// (the median of several), and the milliseconds of a round trip (median) when a worker is there.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	machinery "github.com/RichardKnop/machinery/v2"
	"github.com/RichardKnop/machinery/v2/tasks"

	"gomachinery.example/go-harness/internal/connect"
)

func main() {
	var o connect.Options
	o.Flags(flag.CommandLine)
	singles := flag.Int("singles", 0, "single sends")
	group := flag.Int("group", 0, "size of a group")
	trips := flag.Int("trips", 0, "round trips")
	flag.Parse()
	if err := run(&o, *singles, *group, *trips); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o *connect.Options, singles, group, trips int) error {
	if err := o.Check(); err != nil {
		return err
	}
	connect.LogTo(io.Discard, func() {})
	server, err := o.ServerV2()
	if err != nil {
		return err
	}
	figures := map[string]float64{}
	if singles > 0 {
		started := time.Now()
		for range singles {
			if _, err := server.SendTask(add()); err != nil {
				return err
			}
		}
		figures["singles"] = float64(singles) / time.Since(started).Seconds()
	}
	if group > 0 {
		rate, err := groups(server, group)
		if err != nil {
			return err
		}
		figures["group"] = rate
	}
	if trips > 0 {
		median, err := roundTrip(server, trips)
		if err != nil {
			return err
		}
		figures["trip_ms"] = median
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}

func groups(server *machinery.Server, size int) (float64, error) {
	rates := make([]float64, 9)
	for at := range rates {
		members := make([]*tasks.Signature, size)
		for i := range members {
			members[i] = add()
		}
		started := time.Now()
		composed, err := tasks.NewGroup(members...)
		if err != nil {
			return 0, err
		}
		if _, err := server.SendGroup(composed, 20); err != nil {
			return 0, err
		}
		rates[at] = float64(size) / time.Since(started).Seconds()
	}
	slices.Sort(rates)
	return rates[len(rates)/2], nil
}

func roundTrip(server *machinery.Server, trips int) (float64, error) {
	took := make([]float64, trips)
	for i := range took {
		started := time.Now()
		sent, err := server.SendTask(add())
		if err != nil {
			return 0, err
		}
		if _, err := sent.GetWithTimeout(10*time.Second, time.Millisecond); err != nil {
			return 0, err
		}
		took[i] = float64(time.Since(started).Microseconds()) / 1000
	}
	slices.Sort(took)
	return took[trips/2], nil
}

func add() *tasks.Signature {
	return &tasks.Signature{
		Name: "add",
		Args: []tasks.Arg{{Type: "int64", Value: int64(1)}, {Type: "int64", Value: int64(2)}},
	}
}
