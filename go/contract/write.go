package contract

import (
	"io"
	"strconv"
	"strings"
)

const head = `# What this fleet's tasks are called, take and return. Written from code by "gomachinery contract export" and Go's
# contract.Write; "gomachinery contract check" compares it with code and queues.
machinery_contract: 1
`

// Write writes the contract of the tasks that a service registers: what server.RegisterTasks takes. Nothing is written
// when a function cannot be a task; the error then names it.
func Write(w io.Writer, tasks map[string]interface{}, options ...Option) error {
	s := &settings{servedBy: "go", about: map[string]About{}}
	for _, option := range options {
		option(s)
	}
	read, err := read(tasks, s)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text(read, s.servedBy))
	return err
}

func text(tasks []task, servedBy string) string {
	if len(tasks) == 0 {
		return head + "tasks: {}\n"
	}
	var b strings.Builder
	b.WriteString(head + "tasks:\n")
	for _, t := range tasks {
		b.WriteString("  " + plain(t.name) + ":\n")
		field := func(key, value string, given bool) {
			if given {
				b.WriteString("    " + key + ": " + value + "\n")
			}
		}
		about := t.about
		doc := strings.Join(strings.Fields(about.Doc), " ")
		field("doc", quoted(doc), doc != "")
		field("served_by", plain(servedBy), servedBy != "")
		field("queue", plain(about.Queue), about.Queue != "")
		field("retries", strconv.Itoa(about.Retries), about.Retries != 0)
		field("retry_timeout", strconv.Itoa(about.RetryTimeout), about.RetryTimeout != 0)
		field("priority", strconv.Itoa(int(about.Priority)), about.Priority != 0)
		field("ignore_when_not_registered", "true", about.IgnoreWhenNotRegistered)
		items := make([]string, len(t.parameters))
		for i, p := range t.parameters {
			if p.name != "" {
				items[i] = "name: " + plain(p.name) + ", "
			}
			items[i] += p.fields()
			if p.variadic {
				items[i] += ", variadic: true"
			}
		}
		list(&b, "parameters", items)
		items = make([]string, len(t.results))
		for i, r := range t.results {
			items[i] = r.fields()
		}
		list(&b, "results", items)
	}
	return b.String()
}

func (v value) fields() string {
	if v.json == "" {
		return "type: " + plain(v.kind)
	}
	return "type: " + plain(v.kind) + ", json: " + plain(v.json)
}

func list(b *strings.Builder, key string, items []string) {
	if len(items) == 0 {
		b.WriteString("    " + key + ": []\n")
		return
	}
	b.WriteString("    " + key + ":\n")
	for _, item := range items {
		b.WriteString("      - {" + item + "}\n")
	}
}
