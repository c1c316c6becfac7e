// Command codec decodes and encodes with the running Go library, for as long as its standard input lasts.
//
// A request is a frame: the length of what follows as four bytes (big endian), one byte for the kind, one for the
// Machinery version ('1' or '2'), and the payload. The answer is a frame of a status byte and a payload:
//
//	'='  the bytes that json.Marshal writes
//	'!'  the error of decoding
//	'^'  a syntax error: how many bytes had been read, a space, the error
//	'?'  the error of encoding
//
// Answers come in the order of the requests and are held back while more requests are waiting, so that many can be
// sent at once. Kinds:
//
//	's' Signature, 't' TaskState, 'g' GroupMeta: Decode with UseNumber, as workers and backends do, then Marshal
//	'f' float32, 'd' float64 (the IEEE bits, big endian), 'b' []byte, 'x' string: Marshal of that Go value
//	'v' a JSON document, decoded with UseNumber: Go's %v of it
//	'n' an int64 (big endian): the text of that time.Duration
//	'i' ParseInt, 'u' ParseUint, 'F' ParseFloat of a text: the number as decimal digits, or the IEEE bits in hexadecimal
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	tasksv1 "github.com/RichardKnop/machinery/v1/tasks"
	tasksv2 "github.com/RichardKnop/machinery/v2/tasks"

	"gomachinery.example/go-harness/internal/connect"
)

const (
	written        = '='
	decodingFailed = '!'
	syntaxFailed   = '^'
	encodingFailed = '?'

	headerSize = 6
	largest    = 1 << 28
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		connect.Say(os.Stderr, "codec: %v", err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout io.Writer) error {
	in, out := bufio.NewReaderSize(stdin, 1<<20), bufio.NewWriterSize(stdout, 1<<20)
	defer out.Flush()
	for {
		var header [headerSize]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("a request ends early: %v", err)
		}
		length := binary.BigEndian.Uint32(header[:4])
		if length < headerSize-4 || length > largest {
			return fmt.Errorf("a request of %d bytes", length)
		}
		payload := make([]byte, length-(headerSize-4))
		if _, err := io.ReadFull(in, payload); err != nil {
			return fmt.Errorf("a request ends early: %v", err)
		}
		status, text := answer(header[4], header[5], payload)
		if err := binary.Write(out, binary.BigEndian, uint32(len(text)+1)); err != nil {
			return err
		}
		out.WriteByte(status)
		out.Write(text)
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func answer(kind, version byte, payload []byte) (byte, []byte) {
	switch kind {
	case 's', 't', 'g':
		return reencode(payload, blank(kind, version))
	case 'f':
		return marshal(math.Float32frombits(binary.BigEndian.Uint32(payload)))
	case 'd':
		return marshal(math.Float64frombits(binary.BigEndian.Uint64(payload)))
	case 'b':
		return marshal(payload)
	case 'x':
		return marshal(string(payload))
	case 'v':
		var value any
		if err := decode(payload, &value); err != nil {
			return refused(err)
		}
		return written, fmt.Appendf(nil, "%v", value)
	case 'n':
		return written, []byte(time.Duration(binary.BigEndian.Uint64(payload)).String())
	case 'i':
		number, err := strconv.ParseInt(string(payload), 10, 64)
		return parsed(strconv.FormatInt(number, 10), err)
	case 'u':
		number, err := strconv.ParseUint(string(payload), 10, 64)
		return parsed(strconv.FormatUint(number, 10), err)
	case 'F':
		number, err := strconv.ParseFloat(string(payload), 64)
		return parsed(strconv.FormatUint(math.Float64bits(number), 16), err)
	}
	return decodingFailed, fmt.Appendf(nil, "no request is of kind %q", kind)
}

// blank is a pointer to what a worker or backend decodes into.
func blank(kind, version byte) any {
	switch {
	case kind == 's' && version == '1':
		return new(tasksv1.Signature)
	case kind == 's':
		return new(tasksv2.Signature)
	case kind == 't' && version == '1':
		return new(tasksv1.TaskState)
	case kind == 't':
		return new(tasksv2.TaskState)
	case version == '1':
		return new(tasksv1.GroupMeta)
	default:
		return new(tasksv2.GroupMeta)
	}
}

func decode(payload []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func reencode(payload []byte, into any) (byte, []byte) {
	if err := decode(payload, into); err != nil {
		return refused(err)
	}
	return marshal(into)
}

func refused(err error) (byte, []byte) {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return syntaxFailed, fmt.Appendf(nil, "%d %v", syntax.Offset, err)
	}
	return decodingFailed, []byte(err.Error())
}

func marshal(value any) (byte, []byte) {
	text, err := json.Marshal(value)
	if err != nil {
		return encodingFailed, []byte(err.Error())
	}
	return written, text
}

func parsed(text string, err error) (byte, []byte) {
	if err != nil {
		return decodingFailed, []byte(err.Error())
	}
	return written, []byte(text)
}
