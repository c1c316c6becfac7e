// Command recorder is a proxy between Redis clients and a Redis server that writes down every command.
//
// It prints LISTENING host:port, forwards bytes untouched both ways, and appends one JSON line per command to a file
// before the command is forwarded: {"connection": 1, "command": ["SET", "key", …]}. An argument that is not UTF-8 is
// written as {"base64": "…"}. It ends when its standard input ends.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"unicode/utf8"

	"gomachinery.example/go-harness/internal/resp"
)

type entry struct {
	Connection int   `json:"connection"`
	Command    []any `json:"command"`
}

type binary struct {
	Base64 []byte `json:"base64"`
}

type transcript struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (t *transcript) add(connection int, arguments [][]byte) error {
	command := make([]any, len(arguments))
	for i, argument := range arguments {
		if utf8.Valid(argument) {
			command[i] = string(argument)
		} else {
			command[i] = binary{argument}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Encode(entry{connection, command})
}

func main() {
	target := flag.String("target", "", "the Redis server: host:port, or the path of its unix socket")
	path := flag.String("out", "", "file to append the transcript to")
	flag.Parse()
	if err := run(*target, *path); err != nil {
		fmt.Fprintf(os.Stderr, "recorder: %v\n", err)
		os.Exit(1)
	}
}

func run(target, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	out := json.NewEncoder(file)
	out.SetEscapeHTML(false)
	written := &transcript{out: out}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("LISTENING %s\n", listener.Addr())
	go func() {
		for number := 1; ; number++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go proxy(client, target, number, written)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func proxy(client net.Conn, target string, number int, written *transcript) {
	defer client.Close()
	network := "tcp"
	if target[0] == '/' {
		network = "unix"
	}
	server, err := net.Dial(network, target)
	if err != nil {
		fmt.Fprintf(os.Stderr, "recorder: %v\n", err)
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		io.Copy(client, server)
	}()
	in := bufio.NewReader(client)
	for {
		arguments, raw, err := resp.ReadCommand(in)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = written.add(number, arguments)
		}
		if err == nil {
			_, err = server.Write(raw)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "recorder: connection %d: %v\n", number, err)
			return
		}
	}
}
