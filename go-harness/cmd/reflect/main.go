// Command reflect shows what Machinery's ReflectValue makes of values as they arrive from a broker.
//
// It reads one JSON object a line from standard input, {"version": "v1"|"v2", "type": name, "value": any JSON}, and
// answers each with {"kind": Go's type, "value": …}, {"error": text} or {"panic": text}. Values are decoded with
// UseNumber, as workers decode them. Bytes and runes of results come back as JSON numbers, floats as text that holds
// all their digits.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"

	tasksv1 "github.com/RichardKnop/machinery/v1/tasks"
	tasksv2 "github.com/RichardKnop/machinery/v2/tasks"

	"gomachinery.example/go-harness/internal/connect"
)

type request struct {
	Version string `json:"version"`
	Type    string `json:"type"`
	Value   any    `json:"value"`
}

type reply struct {
	Kind  string `json:"kind,omitempty"`
	Value any    `json:"value"`
	Error string `json:"error,omitempty"`
	Panic string `json:"panic,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		connect.Say(os.Stderr, "reflect: %v", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	buffered := bufio.NewWriter(out)
	defer buffered.Flush()
	answers := json.NewEncoder(buffered)
	for lines.Scan() {
		var r request
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.UseNumber()
		if err := decoder.Decode(&r); err != nil {
			return fmt.Errorf("not a request: %v", err)
		}
		if err := answers.Encode(answer(r)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func answer(r request) (a reply) {
	defer func() {
		if problem := recover(); problem != nil {
			a = reply{Panic: fmt.Sprint(problem)}
		}
	}()
	reflectValue := tasksv2.ReflectValue
	if r.Version == connect.V1 {
		reflectValue = tasksv1.ReflectValue
	}
	value, err := reflectValue(r.Type, r.Value)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Kind: value.Type().String(), Value: plain(value)}
}

// plain keeps floats exact and []byte an array.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	default:
		return v.Interface()
	}
}
