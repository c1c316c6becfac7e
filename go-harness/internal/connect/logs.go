package connect

import (
	"fmt"
	"io"
	"log"
	"strings"
	"sync"

	logv1 "github.com/RichardKnop/machinery/v1/log"
	logv2 "github.com/RichardKnop/machinery/v2/log"
)

// consuming is what both versions log, at level INFO, once the broker answers and tasks are being fetched.
const consuming = "[*] Waiting for messages"

// LogTo sends the logs of both versions to out and calls ready, once, when a worker starts to consume.
// Debug lines repeat whole messages and are dropped.
func LogTo(out io.Writer, ready func()) {
	var once sync.Once
	watch := watcher{out, func() { once.Do(ready) }}
	info := log.New(watch, "INFO ", log.Ldate|log.Lmicroseconds)
	warning := log.New(out, "WARNING ", log.Ldate|log.Lmicroseconds)
	failure := log.New(out, "ERROR ", log.Ldate|log.Lmicroseconds)
	debug := log.New(io.Discard, "", 0)

	logv1.SetDebug(debug)
	logv1.SetInfo(info)
	logv1.SetWarning(warning)
	logv1.SetError(failure)
	logv1.SetFatal(failure)
	logv2.SetDebug(debug)
	logv2.SetInfo(info)
	logv2.SetWarning(warning)
	logv2.SetError(failure)
	logv2.SetFatal(failure)
}

// Say writes one line of the harness' own to out.
func Say(out io.Writer, format string, values ...any) {
	fmt.Fprintf(out, format+"\n", values...)
}

type watcher struct {
	out   io.Writer
	ready func()
}

func (w watcher) Write(line []byte) (int, error) {
	n, err := w.out.Write(line)
	if strings.Contains(string(line), consuming) {
		w.ready()
	}
	return n, err
}
