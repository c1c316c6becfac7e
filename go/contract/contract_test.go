package contract

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

type money int64

type broken struct{}

func (broken) Error() string { return "" }

func TestRefusals(t *testing.T) {
	for _, one := range []struct {
		about    string
		function interface{}
		options  []Option
		want     string
	}{
		{"nil", nil, nil, `task "x": it is no function but <nil>`},
		{"a value", 5, nil, "it is no function but int"},
		{"nothing returned", func() {}, nil, "its last result is no error"},
		{"no error", func() int { return 0 }, nil, "its last result is no error"},
		{"an error that cannot be nil", func() broken { return broken{} }, nil, "cannot be nil"},
		{"a map", func(int64, map[string]int) error { return nil }, nil, "parameter 2 is map[string]int, which Machinery"},
		{"a pointer", func(*int64) error { return nil }, nil, "parameter 1 is *int64"},
		{"a struct", func(struct{ A int }) error { return nil }, nil, "parameter 1 is struct"},
		{"a type built on int64", func(money) error { return nil }, nil, "parameter 1 is contract.money"},
		{"a duration", func(time.Duration) error { return nil }, nil, "parameter 1 is time.Duration"},
		{"slices of slices", func([][]string) error { return nil }, nil, "parameter 1 is [][]string"},
		{"a rune is an int32", func(rune) error { return nil }, nil, ""},
		{"complex", func(complex128) error { return nil }, nil, "parameter 1 is complex128"},
		{"an interface with methods", func(error) error { return nil }, nil, "parameter 1 is error"},
		{"a late context", func(int64, context.Context) error { return nil }, nil, "must be the first parameter"},
		{"two contexts", func(context.Context, context.Context) error { return nil }, nil, "must be the first parameter"},
		{"a result", func() (money, error) { return 0, nil }, nil, "result 1 is contract.money"},
		{"two errors", func() (error, error) { return nil, nil }, nil, "result 1 is error"},
		{"a variadic map", func(...map[string]int) error { return nil }, nil, "parameter 1 is map[string]int"},
		{"names", func(a, b int) error { return nil }, with(About{Parameters: []string{"a"}}), "2 parameters, and 1 names"},
		{"a name twice", func(a, b int) error { return nil }, with(About{Parameters: []string{"a", "a"}}), `called "a"`},
		{"JSON that is a number", func(int) error { return nil },
			with(About{Parameters: []string{"a"}, JSON: map[string]string{"a": "Order"}}), "can be JSON"},
		{"JSON of nobody", func(string) error { return nil },
			with(About{Parameters: []string{"a"}, JSON: map[string]string{"b": "Order"}}), "does not have"},
		{"no UTF-8", func() error { return nil }, with(About{Queue: "\xff"}), "not UTF-8"},
		{"what cannot be sent", func() error { return nil }, with(About{Retries: -1}), "Retries"},
		{"a year and two days", func() error { return nil }, with(About{RetryTimeout: 367 * 24 * 3600}), "RetryTimeout"},
		{"an empty name", func(int) error { return nil }, with(About{Parameters: []string{""}}), "parameter 1 is empty"},
		{"a service", func() error { return nil }, []Option{ServedBy("\xff")}, "not UTF-8"},
		{"another task", func() error { return nil }, []Option{With("y", About{})}, `With("y"): there is no such task`},
	} {
		var b strings.Builder
		err := Write(&b, map[string]interface{}{"x": one.function}, one.options...)
		if one.want == "" {
			if err != nil {
				t.Errorf("%s: %v", one.about, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: error %v, wanted %q in it", one.about, err, one.want)
		}
		if b.Len() > 0 {
			t.Errorf("%s: wrote %q", one.about, b.String())
		}
	}
}

func with(about About) []Option { return []Option{With("x", about)} }

func TestText(t *testing.T) {
	tasks := map[string]interface{}{
		"b":          func(ctx context.Context, order string, copies ...string) (string, []byte, error) { return "", nil, nil },
		"a":          func(interface{}, []uint8, rune) error { return errors.New("never") },
		"yes \u2028": func() error { return nil },
	}
	var b strings.Builder
	err := Write(&b, tasks, ServedBy("billing"), With("b", About{
		Doc: "Bills  an\norder.", Parameters: []string{"order", "copies"}, JSON: map[string]string{"order": "Order"},
		ResultJSON: map[int]string{0: "Bill"}, Queue: "no", Retries: 3, RetryTimeout: 5, Priority: 2,
		IgnoreWhenNotRegistered: true,
	}))
	want := head + `tasks:
  a:
    served_by: billing
    parameters:
      - {type: any}
      - {type: "[]byte"}
      - {type: int32}
    results: []
  b:
    doc: "Bills an order."
    served_by: billing
    queue: "no"
    retries: 3
    retry_timeout: 5
    priority: 2
    ignore_when_not_registered: true
    parameters:
      - {name: order, type: string, json: Order}
      - {name: copies, type: string, variadic: true}
    results:
      - {type: string, json: Bill}
      - {type: "[]byte"}
  "yes \u2028":
    served_by: billing
    parameters: []
    results: []
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestNoTasks(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, nil); err != nil || b.String() != head+"tasks: {}\n" {
		t.Errorf("%v %q", err, b.String())
	}
}
