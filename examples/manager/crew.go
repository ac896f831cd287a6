package main

import (
	"errors"
	"maps"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
)

// The three kinds of this program. Their tree looks like this:
//
//	crew            a Manager, saved after every message
//	└─ crew/ann     a Worker, saved after every message
//	   └─ …/diary   a Diary, saved after every eighth message
var (
	managers = persist.DefineSnapshot("manager", newManager,
		&persist.KindOptions{Save: persist.Always()})
	workers = persist.Define("worker", func() *Worker { return &Worker{} },
		&persist.KindOptions{Save: persist.Always()})
	diaries = persist.Define("diary", func() *Diary { return &Diary{} },
		&persist.KindOptions{Save: persist.EveryMessages(8)})

	kinds = persist.Kinds{managers, workers, diaries}
)

// What the actors are told.
type (
	// Hire asks the manager for a new worker.
	Hire struct{ Name string }
	// Order is the No-th job of a worker, whose Done goes to From. An order may
	// come twice: the client repeats what was not acknowledged before a crash.
	Order struct {
		Worker      string
		No, Minutes int
		From        *actor.PID
	}
	// Entry is what a worker notes in its diary.
	Entry struct{ No int }
	// Show asks any actor for its State.
	Show struct{}
)

// Hired and Done are the acknowledgements: they leave when the state that they
// speak of is durable.
type (
	Hired struct{ Name string }
	Done  struct {
		Worker string
		No     int
	}
)

// State is what an actor shows of itself.
type State map[string]int

// Manager passes orders on to its workers, which are its children.
type Manager struct {
	passed map[string]int // by worker: the highest order passed on
	total  int            // their sum; not saved, since it follows from them
}

// Book is the snapshot of a Manager: a type of its own, so that the actor may
// keep whatever fields suit its work.
type Book struct{ Passed map[string]int }

func newManager() *Manager { return &Manager{passed: map[string]int{}} }

// Snapshot is called after a message, on the actor's goroutine.
func (m *Manager) Snapshot() Book { return Book{m.passed} }

// Restore is called on a manager fresh from newManager.
func (m *Manager) Restore(b Book) error {
	maps.Copy(m.passed, b.Passed)
	for _, n := range b.Passed {
		m.total += n
	}
	return nil
}

// Receive handles one message. Where it panics, the manager is rolled back to
// its last durable snapshot and goes on with the next message.
func (m *Manager) Receive(c *actor.Context) {
	switch msg := c.Message().(type) {
	case actor.Started:
		// The first worker is made in the first life, and found in each later one.
		_, err := workers.TryRespawnChild(c, "ann", nil)
		must(err)
	case Hire:
		// When SpawnChild returns, the worker is durable.
		_, err := workers.SpawnChild(c, msg.Name, nil)
		if !errors.Is(err, persist.ErrExists) { // hired already: the order was repeated
			must(err)
		}
		must(persist.Reply(c, Hired(msg)))
	case Order:
		key, _ := persist.KeyOf(c)
		worker, ok := persist.RefTo[Worker](key.Child(msg.Worker)).PID(c)
		if !ok {
			return
		}
		if no := m.passed[msg.Worker]; msg.No > no {
			m.passed[msg.Worker] = msg.No
			m.total += msg.No - no
		}
		// The order leaves once the manager's book of it is durable: no worker can
		// ever be ahead of its manager.
		must(persist.Send(c, worker, msg))
	case Show:
		s := State{"passed": m.total}
		for name, no := range m.passed {
			s["to "+name] = no
		}
		c.Respond(s)
	}
}

// Worker does jobs. Its exported fields are its snapshot.
type Worker struct {
	Jobs    int
	Minutes int

	diary *actor.PID // unexported: not saved
}

// Receive handles one message.
func (w *Worker) Receive(c *actor.Context) {
	switch msg := c.Message().(type) {
	case actor.Started:
		var err error
		w.diary, err = diaries.TryRespawnChild(c, "diary", nil)
		must(err)
	case Order:
		if msg.No > w.Jobs+1 {
			return // one before it is missing; the client will repeat both
		}
		if msg.No == w.Jobs+1 {
			w.Jobs++
			w.Minutes += msg.Minutes
			must(persist.Send(c, w.diary, Entry{msg.No}))
		}
		must(persist.Send(c, msg.From, Done{msg.Worker, msg.No}))
	case Show:
		c.Respond(State{"jobs": w.Jobs, "minutes": w.Minutes})
	}
}

// Diary counts what it is told. Nothing that it says was promised to anyone, so
// it is saved now and then, and at its end.
type Diary struct{ Lines, Last int }

// Receive handles one message.
func (d *Diary) Receive(c *actor.Context) {
	switch msg := c.Message().(type) {
	case Entry:
		d.Lines++
		d.Last = msg.No
	case Show:
		c.Respond(State{"lines": d.Lines, "last": d.Last})
	}
}

// must ends the handling of a message that cannot go on.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
