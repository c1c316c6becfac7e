package produce

import (
	"context"

	machinery "github.com/RichardKnop/machinery/v2"
	"github.com/RichardKnop/machinery/v2/backends/result"
	"github.com/RichardKnop/machinery/v2/tasks"
)

// V2 makes the calls of a Machinery v2 server.
func V2(server *machinery.Server) *Calls[tasks.Signature, tasks.Chain, tasks.Group, tasks.Chord] {
	return &Calls[tasks.Signature, tasks.Chain, tasks.Group, tasks.Chord]{
		Type:     typeV2,
		UUID:     func(s *tasks.Signature) string { return s.UUID },
		Group:    func(g *tasks.Group) string { return g.GroupUUID },
		NewChain: tasks.NewChain,
		NewGroup: tasks.NewGroup,
		NewChord: tasks.NewChord,

		SendTask: func(ctx context.Context, s *tasks.Signature) error {
			_, err := server.SendTaskWithContext(ctx, s)
			return err
		},
		SendChain: func(ctx context.Context, c *tasks.Chain) error {
			_, err := server.SendChainWithContext(ctx, c)
			return err
		},
		SendGroup: func(ctx context.Context, g *tasks.Group, concurrency int) error {
			_, err := server.SendGroupWithContext(ctx, g, concurrency)
			return err
		},
		SendChord: func(ctx context.Context, c *tasks.Chord, concurrency int) error {
			_, err := server.SendChordWithContext(ctx, c, concurrency)
			return err
		},
		SendTaskPlain: func(s *tasks.Signature) error {
			_, err := server.SendTask(s)
			return err
		},
		SendChainPlain: func(c *tasks.Chain) error {
			_, err := server.SendChain(c)
			return err
		},
		SendGroupPlain: func(g *tasks.Group, concurrency int) error {
			_, err := server.SendGroup(g, concurrency)
			return err
		},
		SendChordPlain: func(c *tasks.Chord, concurrency int) error {
			_, err := server.SendChord(c, concurrency)
			return err
		},

		Result: func(uuid string) Waiter {
			return result.NewAsyncResult(&tasks.Signature{UUID: uuid}, server.GetBackend())
		},
		State: func(uuid string) (any, error) { return server.GetBackend().GetState(uuid) },
		GroupStates: func(uuid string, count int) (any, error) {
			return server.GetBackend().GroupTaskStates(uuid, count)
		},
		Pending: func(queue string) (any, error) { return server.GetBroker().GetPendingTasks(queue) },
		Delayed: func() (any, error) { return server.GetBroker().GetDelayedTasks() },
	}
}

func typeV2(signature *tasks.Signature) error {
	if signature == nil {
		return nil
	}
	for i := range signature.Args {
		value, err := tasks.ReflectValue(signature.Args[i].Type, signature.Args[i].Value)
		if err != nil {
			return err
		}
		signature.Args[i].Value = value.Interface()
	}
	for _, callback := range signature.OnSuccess {
		if err := typeV2(callback); err != nil {
			return err
		}
	}
	for _, callback := range signature.OnError {
		if err := typeV2(callback); err != nil {
			return err
		}
	}
	return typeV2(signature.ChordCallback)
}
