package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// Ask is one line on the child's standard input, Answer one on its output.
type (
	Ask struct {
		Op          string // "hire", "order", "tree", "save tree"
		Name        string `json:",omitempty"`
		No, Minutes int    `json:",omitempty"`
	}
	Answer struct {
		Op   string // "hired", "done", "tree", "saved", "error"
		Name string `json:",omitempty"`
		No   int    `json:",omitempty"`
		Tree []Node `json:",omitempty"`
	}
	// Node is one actor of the tree. State is nil where it is saved, but not live.
	Node struct {
		Key   persist.Key
		State State
	}
)

// serve is the child process: it brings the crew back from the store, or makes
// it where nothing was saved, and works until its input ends, which a SIGKILL
// does not wait for.
func serve(store persist.Store, in io.Reader, out io.Writer) error {
	ctx := context.Background()
	engine, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return errors.Join(err, store.Close())
	}
	sys, err := persist.New(engine, store, &persist.Options{Kinds: kinds})
	if err != nil {
		return err
	}
	crew, err := managers.TryRespawn(ctx, sys, "crew", nil)
	if err != nil {
		return errors.Join(err, sys.Close(ctx))
	}
	// Everything that leaves the process leaves through one plain actor.
	answers := json.NewEncoder(out)
	clerk := engine.SpawnFunc(func(c *actor.Context) {
		switch msg := c.Message().(type) {
		case Hired:
			_ = answers.Encode(Answer{Op: "hired", Name: msg.Name}) // whoever listened is gone
		case Done:
			_ = answers.Encode(Answer{Op: "done", Name: msg.Worker, No: msg.No})
		case Answer:
			_ = answers.Encode(msg)
		}
	}, "clerk")
	err = obey(sys, crew, clerk, json.NewDecoder(in))
	return errors.Join(err, sys.Close(ctx))
}

// obey does what it is asked, until the input ends.
func obey(sys *persist.System, crew, clerk *actor.PID, asks *json.Decoder) error {
	ctx, engine := context.Background(), sys.Engine()
	for {
		var a Ask
		if err := asks.Decode(&a); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what is asked: %w", err)
		}
		switch a.Op {
		case "hire":
			engine.SendWithSender(crew, Hire{a.Name}, clerk)
		case "order":
			engine.Send(crew, Order{a.Name, a.No, a.Minutes, clerk})
		case "tree":
			tree, err := readTree(ctx, sys)
			if err != nil {
				return err
			}
			engine.Send(clerk, Answer{Op: "tree", Tree: tree})
		case "save tree":
			if err := sys.SaveTree(ctx, crew); err != nil {
				return err
			}
			engine.Send(clerk, Answer{Op: "saved"})
		}
	}
}

// readTree asks every actor that is saved for its state.
func readTree(ctx context.Context, sys *persist.System) ([]Node, error) {
	var tree []Node
	for key, err := range sys.Keys(ctx, "") {
		if err != nil {
			return nil, err
		}
		n := Node{Key: key}
		if pid, ok := sys.Lookup(key); ok {
			state, err := sys.Engine().Request(pid, Show{}, 10*time.Second).Result()
			if err != nil {
				return nil, fmt.Errorf("ask %q for its state: %w", string(key), err)
			}
			n.State = state.(State)
		}
		tree = append(tree, n)
	}
	return tree, nil
}
