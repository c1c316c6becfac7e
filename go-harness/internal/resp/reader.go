// Package resp reads the commands that Redis clients send.
package resp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxBulk is Redis' own limit for one argument.
const maxBulk = 512 << 20

// ReadCommand reads one command, an array of bulk strings or an inline line, and returns its arguments and the exact
// bytes that it was read from.
func ReadCommand(in *bufio.Reader) (arguments [][]byte, raw []byte, err error) {
	var seen bytes.Buffer
	line, err := readLine(in, &seen)
	if err != nil {
		return nil, nil, err
	}
	if !strings.HasPrefix(line, "*") {
		for _, word := range strings.Fields(line) {
			arguments = append(arguments, []byte(word))
		}
		return arguments, seen.Bytes(), nil
	}
	count, err := strconv.Atoi(line[1:])
	if err != nil {
		return nil, nil, fmt.Errorf("command array length %q: %v", line, err)
	}
	for range count {
		argument, err := readBulk(in, &seen)
		if err != nil {
			return nil, nil, err
		}
		arguments = append(arguments, argument)
	}
	return arguments, seen.Bytes(), nil
}

func readBulk(in *bufio.Reader, seen *bytes.Buffer) ([]byte, error) {
	line, err := readLine(in, seen)
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if err != nil || !strings.HasPrefix(line, "$") || size < 0 || size > maxBulk {
		return nil, fmt.Errorf("not a bulk string: %q", line)
	}
	body := make([]byte, size+2)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, err
	}
	seen.Write(body)
	return body[:size], nil
}

func readLine(in *bufio.Reader, seen *bytes.Buffer) (string, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return "", err
	}
	seen.Write(line)
	return strings.TrimRight(string(line), "\r\n"), nil
}
