// Package contract writes down what the tasks of a Go Machinery service are called, take and return: the part of
// tasks.machinery.yaml that this service speaks for.
//
// It reads the functions by reflection and imports neither Machinery v1 nor v2, so it goes with both. What comes out is,
// byte for byte, what "gomachinery contract export" writes of the same tasks in Python.
package contract

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"unicode/utf8"
)

// About is what reflection cannot know of a task. Everything may be left out.
type About struct {
	// Doc is one line on what the task does.
	Doc string
	// Parameters are the names of the parameters, without a leading context.Context: all of them or none.
	Parameters []string
	// JSON says which parameters, by name, are JSON text, and of what.
	JSON map[string]string
	// ResultJSON says which results, from 0, are JSON text, and of what.
	ResultJSON map[int]string
	// Queue, Retries, RetryTimeout (seconds), Priority and IgnoreWhenNotRegistered are what the task is sent with.
	Queue                   string
	Retries                 int
	RetryTimeout            int
	Priority                uint8
	IgnoreWhenNotRegistered bool
}

// Option is something that Write is told besides the tasks.
type Option func(*settings)

type settings struct {
	servedBy string
	about    map[string]About
}

// ServedBy says what the service that runs the tasks is called; "go" unless given.
func ServedBy(service string) Option {
	return func(s *settings) { s.servedBy = service }
}

// With says more about one task.
func With(task string, about About) Option {
	return func(s *settings) { s.about[task] = about }
}

// What gomachinery reads and sends at most.
const (
	mostRetries         = 1000000
	longestRetryTimeout = 366 * 24 * 3600
)

type value struct {
	kind, json string
}

type parameter struct {
	value
	name     string
	variadic bool
}

type task struct {
	name       string
	about      About
	parameters []parameter
	results    []value
}

var (
	contextType = reflect.TypeOf((*context.Context)(nil)).Elem()
	errorType   = reflect.TypeOf((*error)(nil)).Elem()
	anyType     = reflect.TypeOf((*interface{})(nil)).Elem()
)

// names has Machinery's types (its typesMap) by what they are in Go; types that are only built on these are none.
var names = map[reflect.Type]string{anyType: "any"}

func init() {
	for _, zero := range []interface{}{
		false, 0, int8(0), int16(0), int32(0), int64(0), uint(0), uint8(0), uint16(0), uint32(0), uint64(0),
		float32(0), float64(0), "",
	} {
		kind := reflect.TypeOf(zero)
		names[kind] = kind.String()
		names[reflect.SliceOf(kind)] = "[]" + kind.String()
	}
	// The same type has two names; this is the usual one.
	names[reflect.TypeOf([]byte(nil))] = "[]byte"
}

// read reads the tasks in the order of their names.
func read(functions map[string]interface{}, s *settings) ([]task, error) {
	if !utf8.ValidString(s.servedBy) {
		return nil, fmt.Errorf("contract: ServedBy(%q) is not UTF-8", s.servedBy)
	}
	for name := range s.about {
		if _, known := functions[name]; !known {
			return nil, fmt.Errorf("contract: With(%q): there is no such task", name)
		}
	}
	tasks := make([]task, 0, len(functions))
	for name, function := range functions {
		one, err := readTask(name, function, s.about[name])
		if err != nil {
			return nil, fmt.Errorf("contract: task %q: %w", name, err)
		}
		tasks = append(tasks, one)
	}
	sort.Slice(tasks, func(i, j int) bool { return tasks[i].name < tasks[j].name })
	return tasks, nil
}

func readTask(name string, function interface{}, about About) (task, error) {
	read := task{name: name, about: about}
	if name == "" {
		return read, fmt.Errorf("it has no name")
	}
	for _, text := range append([]string{name, about.Doc, about.Queue}, about.Parameters...) {
		if !utf8.ValidString(text) {
			return read, fmt.Errorf("%q is not UTF-8", text)
		}
	}
	if about.Retries < 0 || about.Retries > mostRetries {
		return read, fmt.Errorf("Retries is %d, which is not from 0 to %d", about.Retries, mostRetries)
	}
	if about.RetryTimeout < 0 || about.RetryTimeout > longestRetryTimeout {
		return read, fmt.Errorf("RetryTimeout is %d, which is not from 0 to %d", about.RetryTimeout, longestRetryTimeout)
	}
	kind := reflect.TypeOf(function)
	if kind == nil || kind.Kind() != reflect.Func {
		return read, fmt.Errorf("it is no function but %v", kind)
	}
	if err := read.takes(kind); err != nil {
		return read, err
	}
	return read, read.returns(kind)
}

func (t *task) takes(kind reflect.Type) error {
	first := 0
	if kind.NumIn() > 0 && kind.In(0) == contextType {
		first = 1
	}
	count := kind.NumIn() - first
	given := t.about.Parameters
	if len(given) > 0 && len(given) != count {
		return fmt.Errorf("it has %d parameters, and %d names are given for them", count, len(given))
	}
	left := len(t.about.JSON)
	for i := first; i < kind.NumIn(); i++ {
		own, variadic := kind.In(i), false
		if kind.IsVariadic() && i == kind.NumIn()-1 {
			own, variadic = own.Elem(), true
		}
		name := ""
		if len(given) > 0 {
			if name = given[i-first]; name == "" {
				return fmt.Errorf("the name of parameter %d is empty", i-first+1)
			}
			for _, other := range given[:i-first] {
				if name == other {
					return fmt.Errorf("two parameters are called %q", name)
				}
			}
		}
		json, isJSON := t.about.JSON[name]
		if isJSON {
			left--
		}
		what := fmt.Sprintf("parameter %d", i-first+1)
		found, err := typed(own, what, json, isJSON)
		if err != nil {
			return err
		}
		t.parameters = append(t.parameters, parameter{found, name, variadic})
	}
	if left > 0 {
		return fmt.Errorf("JSON names parameters that Parameters does not have")
	}
	return nil
}

func (t *task) returns(kind reflect.Type) error {
	last := kind.NumOut() - 1
	if last < 0 || !kind.Out(last).Implements(errorType) {
		return fmt.Errorf("its last result is no error, so Machinery does not register it")
	}
	switch kind.Out(last).Kind() {
	case reflect.Interface, reflect.Ptr, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
	default:
		return fmt.Errorf("its error is %v, which cannot be nil, so Machinery panics", kind.Out(last))
	}
	for i := 0; i < last; i++ {
		json, isJSON := t.about.ResultJSON[i]
		found, err := typed(kind.Out(i), fmt.Sprintf("result %d", i+1), json, isJSON)
		if err != nil {
			return err
		}
		t.results = append(t.results, found)
	}
	return nil
}

func typed(kind reflect.Type, what, json string, isJSON bool) (value, error) {
	name, known := names[kind]
	switch {
	case kind == contextType:
		return value{}, fmt.Errorf("%s is a context.Context, which must be the first parameter", what)
	case !known:
		return value{}, fmt.Errorf("%s is %v, which Machinery cannot carry: it has bool, the int, uint and float types, "+
			"string, slices of these, and no types that are built on them", what, kind)
	case isJSON && (json == "" || !utf8.ValidString(json) || name != "string" && name != "[]string"):
		return value{}, fmt.Errorf("%s is %s: only a string or []string can be JSON, of something with a name", what, name)
	}
	return value{name, json}, nil
}
