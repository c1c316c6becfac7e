// Command judge says what a Machinery worker does with messages, for as long as its standard input lasts.
//
// A request is a frame: the length of the message as four bytes (big endian), and the message. The answer is one line
// of JSON. Each message goes through the Redis broker's own consumeOne: it is decoded, looked up among the test tasks,
// and run by a worker whose broker and result backend are a real Redis, which is emptied after every message.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"gomachinery.example/go-harness/internal/connect"
)

// verdict is what can be seen of one message from outside of the worker.
type verdict struct {
	// Error is what consumeOne returned: it ends the worker's consumer.
	Error string `json:"error"`
	// Panic is the text of a panic that nothing recovers: it ends the process.
	Panic string `json:"panic"`
	// Hangs says that the worker did not come back within the limit.
	Hangs bool `json:"hangs"`
	// Called says that the task function was about to be called.
	Called bool `json:"called"`
	// State is what the result backend has of the task at last; empty when it has nothing.
	State string `json:"state"`
	// Text is that state's error, Results its results.
	Text    string `json:"text"`
	Results []any  `json:"results"`
	// Queued and Delayed count what the worker published to its own queue and to the delayed tasks.
	Queued  int `json:"queued"`
	Delayed int `json:"delayed"`
}

// worker is a Machinery worker of either version.
type worker struct {
	// consumeOne is the broker's.
	consumeOne func(message []byte) error
	// uuid decodes a message and tells its UUID; empty where it cannot.
	uuid func(message []byte) string
	// state is what the result backend has of a task.
	state func(uuid string) (state, text string, results []any)
}

func main() {
	var options connect.Options
	options.Flags(flag.CommandLine)
	limit := flag.Duration("limit", time.Minute, "after which a worker that does not come back is said to hang")
	flag.Parse()
	if err := run(&options, *limit, os.Stdin, os.Stdout); err != nil {
		connect.Say(os.Stderr, "judge: %v", err)
		os.Exit(1)
	}
}

func run(options *connect.Options, limit time.Duration, in io.Reader, out io.Writer) error {
	if err := options.Check(); err != nil {
		return err
	}
	if options.Client != connect.Redigo {
		return fmt.Errorf("-client %s: the judge knows redigo only", options.Client)
	}
	connect.LogTo(io.Discard, func() {})
	server, err := redis.DialURL(options.Broker)
	if err != nil {
		return err
	}
	defer server.Close()
	var called atomic.Bool
	start := startV2
	if options.Version == connect.V1 {
		start = startV1
	}
	judged, err := start(options, func() { called.Store(true) })
	if err != nil {
		return err
	}
	reader, writer := bufio.NewReaderSize(in, 1<<20), bufio.NewWriter(out)
	defer writer.Flush()
	answers := json.NewEncoder(writer)
	for {
		message, err := read(reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		called.Store(false)
		answer := consume(judged, message, limit)
		answer.Called = called.Load()
		if !answer.Hangs {
			answer.State, answer.Text, answer.Results = judged.state(judged.uuid(message))
		}
		if answer.Queued, err = redis.Int(server.Do("LLEN", options.Queue)); err != nil {
			answer.Queued = 0
		}
		if answer.Delayed, err = redis.Int(server.Do("ZCARD", "delayed_tasks")); err != nil {
			answer.Delayed = 0
		}
		if _, err := server.Do("FLUSHDB"); err != nil {
			return err
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

// read is the next message; io.EOF when there is none.
func read(in io.Reader) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint32(header[:]))
	if _, err := io.ReadFull(in, message); err != nil {
		return nil, fmt.Errorf("a message ends early: %v", err)
	}
	return message, nil
}

// consume lets a worker have one message; what would end its process is caught here.
func consume(judged *worker, message []byte, limit time.Duration) verdict {
	done := make(chan verdict, 1)
	go func() {
		var answer verdict
		defer func() {
			if problem := recover(); problem != nil {
				answer.Panic = fmt.Sprint(problem)
			}
			done <- answer
		}()
		if err := judged.consumeOne(message); err != nil {
			answer.Error = err.Error()
		}
	}()
	select {
	case answer := <-done:
		return answer
	case <-time.After(limit):
		return verdict{Hangs: true}
	}
}

func noRecord(string) error { return nil }
