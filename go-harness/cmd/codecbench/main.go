// Command codecbench measures how long Go takes to encode and decode the documents that it is given.
//
// It reads commands, one a line, until its standard input ends:
//
//	signature JSON, state JSON     remember a document (no answer)
//	encode KIND TIMES              Marshal all documents of a kind so often; the answer is nanoseconds for one
//	decode KIND TIMES              Decode them with UseNumber, as a worker or backend does
//
// What is encoded holds int64 for whole numbers and float64 for others, as a producer's own values do.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/RichardKnop/machinery/v2/tasks"

	"gomachinery.example/go-harness/internal/connect"
)

type document struct {
	text  []byte
	value any
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		connect.Say(os.Stderr, "codecbench: %v", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	documents := map[string][]document{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "signature", "state":
			read, err := newDocument(verb, []byte(rest))
			if err != nil {
				return err
			}
			documents[verb] = append(documents[verb], read)
		case "encode", "decode":
			kind, count, _ := strings.Cut(rest, " ")
			times, err := strconv.Atoi(count)
			if err != nil {
				return err
			}
			took, err := measure(verb, kind, documents[kind], times)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, took)
		default:
			return fmt.Errorf("no command is called %q", verb)
		}
	}
	return lines.Err()
}

func newDocument(kind string, text []byte) (document, error) {
	into := blank(kind)
	if err := decode(text, into); err != nil {
		return document{}, err
	}
	switch decoded := into.(type) {
	case *tasks.Signature:
		for i := range decoded.Args {
			decoded.Args[i].Value = producerValue(decoded.Args[i].Value)
		}
	case *tasks.TaskState:
		for _, result := range decoded.Results {
			result.Value = producerValue(result.Value)
		}
	}
	return document{text: text, value: into}, nil
}

func producerValue(value any) any {
	number, ok := value.(json.Number)
	if !ok {
		return value
	}
	if whole, err := number.Int64(); err == nil {
		return whole
	}
	float, err := number.Float64()
	if err != nil {
		return value
	}
	return float
}

func blank(kind string) any {
	if kind == "signature" {
		return new(tasks.Signature)
	}
	return new(tasks.TaskState)
}

func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// measure returns nanoseconds for one document.
func measure(verb, kind string, documents []document, times int) (float64, error) {
	if len(documents) == 0 || times < 1 {
		return 0, fmt.Errorf("nothing to %s", verb)
	}
	begun := time.Now()
	for range times {
		for _, one := range documents {
			var err error
			if verb == "encode" {
				_, err = json.Marshal(one.value)
			} else {
				err = decode(one.text, blank(kind))
			}
			if err != nil {
				return 0, err
			}
		}
	}
	return float64(time.Since(begun).Nanoseconds()) / float64(times*len(documents)), nil
}
