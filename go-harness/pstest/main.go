// Command pstest is a Pub/Sub server in memory, Google's own for tests.
//
// It prints LISTENING host:port and ends when its standard input ends. Topics and subscriptions are made through the
// service's own calls. It is a module by itself: Machinery pins an older release of Google's library.
package main

import (
	"fmt"
	"io"
	"os"

	"cloud.google.com/go/pubsub/pstest"
)

func main() {
	server := pstest.NewServerWithAddress("127.0.0.1:0")
	defer server.Close()
	fmt.Printf("LISTENING %s\n", server.Addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
