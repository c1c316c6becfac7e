// Command config shows what Machinery's config packages make of a file or an environment.
//
// It reads one JSON object a line from standard input, {"version": "v1"|"v2", "file": path} or
// {"version": …, "env": {name: value}}, and answers each with {"config": {…}} or {"error": text}. Keys of the answer
// are the YAML names. {"url": a Redis URL} is answered by what v1's factories read from it. Machinery keeps its defaults in variables that every load changes (the sections are shared
// pointers), so they are put back before each case.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	machineryv1 "github.com/RichardKnop/machinery/v1"
	configv1 "github.com/RichardKnop/machinery/v1/config"
	configv2 "github.com/RichardKnop/machinery/v2/config"

	"gomachinery.example/go-harness/internal/connect"
)

type request struct {
	Version string            `json:"version"`
	File    string            `json:"file"`
	Env     map[string]string `json:"env"`
	URL     string            `json:"url"`
}

type reply struct {
	Config any    `json:"config,omitempty"`
	Error  string `json:"error,omitempty"`
}

func main() {
	connect.LogTo(io.Discard, func() {})
	if err := run(os.Stdin, os.Stdout); err != nil {
		connect.Say(os.Stderr, "config: %v", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	os.Clearenv()
	restore, err := defaults()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	answers := json.NewEncoder(out)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("not a request: %v", err)
		}
		restore()
		if err := answers.Encode(answer(r)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// defaults remembers the sections that the packages' default configurations point to.
func defaults() (restore func(), err error) {
	v1, err := configv1.NewFromEnvironment()
	if err != nil {
		return nil, err
	}
	v2, err := configv2.NewFromEnvironment()
	if err != nil {
		return nil, err
	}
	amqp1, dynamo1, redis1 := *v1.AMQP, *v1.DynamoDB, *v1.Redis
	amqp2, dynamo2, redis2 := *v2.AMQP, *v2.DynamoDB, *v2.Redis
	return func() {
		*v1.AMQP, *v1.DynamoDB, *v1.Redis = amqp1, dynamo1, redis1
		*v2.AMQP, *v2.DynamoDB, *v2.Redis = amqp2, dynamo2, redis2
	}, nil
}

func answer(r request) (a reply) {
	defer func() {
		if problem := recover(); problem != nil {
			a = reply{Error: fmt.Sprintf("panic: %v", problem)}
		}
	}()
	if r.URL != "" {
		return address(r.URL)
	}
	os.Clearenv()
	for name, value := range r.Env {
		if err := os.Setenv(name, value); err != nil {
			return reply{Error: err.Error()}
		}
	}
	var config any
	var err error
	switch {
	case r.Version == connect.V1 && r.File != "":
		config, err = configv1.NewFromYaml(r.File, false)
	case r.Version == connect.V1:
		config, err = configv1.NewFromEnvironment()
	case r.File != "":
		config, err = configv2.NewFromYaml(r.File, false)
	default:
		config, err = configv2.NewFromEnvironment()
	}
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Config: plain(reflect.ValueOf(config))}
}

// address takes a Redis URL apart as v1 does; v2 leaves that to the program.
func address(url string) reply {
	parse := machineryv1.ParseRedisURL
	if strings.HasPrefix(url, "redis+socket://") {
		parse = machineryv1.ParseRedisSocketURL
	}
	place, password, db, err := parse(url)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Config: map[string]any{"place": place, "password": password, "db": db}}
}

// plain turns a configuration into what JSON can hold, with the YAML names as keys.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		return fields(v)
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			out[fmt.Sprint(key.Interface())] = plain(v.MapIndex(key))
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Float64:
		return fmt.Sprintf("float64 %v", v.Float())
	default:
		return v.Interface()
	}
}

// fields leaves out clients and what Machinery does not read from files. TLSConfig has no YAML name: yaml.v2 then
// takes the lower-case field names.
func fields(v reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch name := field.Tag.Get("yaml"); {
		case name == "-":
		case name != "":
			out[name] = plain(v.Field(i))
		case field.Name == "TLSConfig":
			out["tlsconfig"] = tlsFields(v.Field(i))
		}
	}
	return out
}

func tlsFields(v reflect.Value) any {
	if v.IsNil() {
		return nil
	}
	return map[string]any{
		"servername":         v.Elem().FieldByName("ServerName").String(),
		"insecureskipverify": v.Elem().FieldByName("InsecureSkipVerify").Bool(),
	}
}
