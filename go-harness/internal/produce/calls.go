// Package produce sends what JSON commands ask for, over either Machinery version.
//
// The two versions have the same functions over types of their own; Calls holds those functions and everything else
// is written once, generic over the types.
package produce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Calls are the functions of one Machinery version.
type Calls[Signature, Chain, Group, Chord any] struct {
	// Type turns every argument, nested callbacks included, into a real Go value of its declared type.
	Type  func(*Signature) error
	UUID  func(*Signature) string
	Group func(*Group) string

	NewChain func(...*Signature) (*Chain, error)
	NewGroup func(...*Signature) (*Group, error)
	NewChord func(*Group, *Signature) (*Chord, error)

	SendTask  func(context.Context, *Signature) error
	SendChain func(context.Context, *Chain) error
	SendGroup func(context.Context, *Group, int) error
	SendChord func(context.Context, *Chord, int) error

	SendTaskPlain  func(*Signature) error
	SendChainPlain func(*Chain) error
	SendGroupPlain func(*Group, int) error
	SendChordPlain func(*Chord, int) error

	Result      func(uuid string) Waiter
	State       func(uuid string) (any, error)
	GroupStates func(uuid string, count int) (any, error)
	Pending     func(queue string) (any, error)
	Delayed     func() (any, error)
}

// Waiter is Machinery's AsyncResult.
type Waiter interface {
	GetWithTimeout(timeout, sleep time.Duration) ([]reflect.Value, error)
}

// Command is one line on standard input.
type Command struct {
	Op          string            `json:"op"`
	Signature   json.RawMessage   `json:"signature"`
	Signatures  []json.RawMessage `json:"signatures"`
	Callback    json.RawMessage   `json:"callback"`
	Typed       bool              `json:"typed"`
	WithContext bool              `json:"with_context"`
	Concurrency int               `json:"concurrency"`
	UUID        string            `json:"uuid"`
	UUIDs       []string          `json:"uuids"`
	Count       int               `json:"count"`
	Queue       string            `json:"queue"`
	TimeoutMS   int               `json:"timeout_ms"`
	IntervalMS  int               `json:"interval_ms"`
}

// Sent names what was sent.
type Sent struct {
	UUID      string   `json:"uuid,omitempty"`
	UUIDs     []string `json:"uuids,omitempty"`
	GroupUUID string   `json:"group_uuid,omitempty"`
	Callback  string   `json:"callback_uuid,omitempty"`
}

// Value is one result: its Go type, what %v prints, and its JSON.
type Value struct {
	Type string          `json:"type"`
	Text string          `json:"go_text"`
	JSON json.RawMessage `json:"json"`
}

// Outcome of waiting for a task: results, or the failure's text, or a timeout.
type Outcome struct {
	Results []Value `json:"results"`
	Failure *string `json:"failure,omitempty"`
	Timeout bool    `json:"timeout,omitempty"`
}

// Do carries out one command.
func (c *Calls[S, Ch, G, Cd]) Do(command *Command) (any, error) {
	switch command.Op {
	case "send_task":
		return c.sendTask(command)
	case "send_chain":
		return c.sendChain(command)
	case "send_group":
		return c.sendGroup(command)
	case "send_chord":
		return c.sendChord(command)
	case "get":
		return c.get(command)
	case "state":
		return c.State(command.UUID)
	case "group_states":
		return c.GroupStates(command.UUID, command.Count)
	case "pending":
		return c.Pending(command.Queue)
	case "delayed":
		return c.Delayed()
	}
	return nil, fmt.Errorf("no such op: %q", command.Op)
}

func (c *Calls[S, Ch, G, Cd]) decode(raw json.RawMessage, typed bool) (*S, error) {
	signature := new(S)
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(signature); err != nil {
		return nil, err
	}
	if typed {
		if err := c.Type(signature); err != nil {
			return nil, err
		}
	}
	return signature, nil
}

func (c *Calls[S, Ch, G, Cd]) decodeAll(command *Command) ([]*S, error) {
	signatures := make([]*S, len(command.Signatures))
	for i, raw := range command.Signatures {
		signature, err := c.decode(raw, command.Typed)
		if err != nil {
			return nil, err
		}
		signatures[i] = signature
	}
	return signatures, nil
}

func (c *Calls[S, Ch, G, Cd]) uuids(signatures []*S) []string {
	uuids := make([]string, len(signatures))
	for i, signature := range signatures {
		uuids[i] = c.UUID(signature)
	}
	return uuids
}

func (c *Calls[S, Ch, G, Cd]) sendTask(command *Command) (any, error) {
	signature, err := c.decode(command.Signature, command.Typed)
	if err != nil {
		return nil, err
	}
	if command.WithContext {
		err = c.SendTask(context.Background(), signature)
	} else {
		err = c.SendTaskPlain(signature)
	}
	return Sent{UUID: c.UUID(signature)}, err
}

func (c *Calls[S, Ch, G, Cd]) sendChain(command *Command) (any, error) {
	signatures, err := c.decodeAll(command)
	if err != nil {
		return nil, err
	}
	chain, err := c.NewChain(signatures...)
	if err != nil {
		return nil, err
	}
	if command.WithContext {
		err = c.SendChain(context.Background(), chain)
	} else {
		err = c.SendChainPlain(chain)
	}
	return Sent{UUIDs: c.uuids(signatures)}, err
}

func (c *Calls[S, Ch, G, Cd]) sendGroup(command *Command) (any, error) {
	signatures, err := c.decodeAll(command)
	if err != nil {
		return nil, err
	}
	group, err := c.NewGroup(signatures...)
	if err != nil {
		return nil, err
	}
	if command.WithContext {
		err = c.SendGroup(context.Background(), group, command.Concurrency)
	} else {
		err = c.SendGroupPlain(group, command.Concurrency)
	}
	return Sent{UUIDs: c.uuids(signatures), GroupUUID: c.Group(group)}, err
}

func (c *Calls[S, Ch, G, Cd]) sendChord(command *Command) (any, error) {
	signatures, err := c.decodeAll(command)
	if err != nil {
		return nil, err
	}
	callback, err := c.decode(command.Callback, command.Typed)
	if err != nil {
		return nil, err
	}
	group, err := c.NewGroup(signatures...)
	if err != nil {
		return nil, err
	}
	chord, err := c.NewChord(group, callback)
	if err != nil {
		return nil, err
	}
	if command.WithContext {
		err = c.SendChord(context.Background(), chord, command.Concurrency)
	} else {
		err = c.SendChordPlain(chord, command.Concurrency)
	}
	return Sent{UUIDs: c.uuids(signatures), GroupUUID: c.Group(group), Callback: c.UUID(callback)}, err
}

// get waits for each task in turn, as ChainAsyncResult.Get and ChordAsyncResult.Get do, and returns the last one's
// results or the first failure. Those two have no working time limit of their own.
func (c *Calls[S, Ch, G, Cd]) get(command *Command) (any, error) {
	interval := time.Duration(command.IntervalMS) * time.Millisecond
	if interval <= 0 {
		interval = 5 * time.Millisecond
	}
	deadline := time.Now().Add(time.Duration(command.TimeoutMS) * time.Millisecond)
	outcome := Outcome{Results: []Value{}}
	for i, uuid := range command.UUIDs {
		values, err := c.Result(uuid).GetWithTimeout(time.Until(deadline), interval)
		if err != nil {
			if err.Error() == timeoutText {
				return Outcome{Timeout: true}, nil
			}
			text := err.Error()
			return Outcome{Failure: &text}, nil
		}
		if i < len(command.UUIDs)-1 {
			continue
		}
		for _, value := range values {
			document, err := json.Marshal(value.Interface())
			if err != nil {
				return nil, err
			}
			outcome.Results = append(outcome.Results, Value{
				Type: value.Type().String(),
				Text: fmt.Sprintf("%v", value.Interface()),
				JSON: document,
			})
		}
	}
	return outcome, nil
}

// timeoutText is result.ErrTimeoutReached of both versions.
const timeoutText = "Timeout reached"
