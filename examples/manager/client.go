package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// window is how many orders may be without an acknowledgement at a time.
const window = 32

// client is the side that survives. It knows what it asked for and what was
// acknowledged; what the crew holds after a crash must lie in between.
type client struct {
	rnd   *rand.Rand
	asked []string        // the workers that it knows of or asked for
	hired map[string]bool // those whose hiring was acknowledged
	sent  map[string]int  // by worker: the highest order sent
	acked map[string]int  // by worker: the highest order acknowledged
	acks  int             // all acknowledgements so far
}

func newClient(seed uint64) *client {
	return &client{
		rnd:   rand.New(rand.NewPCG(seed, 0)),
		asked: []string{"ann"},
		hired: map[string]bool{"ann": true},
		sent:  map[string]int{},
		acked: map[string]int{},
	}
}

// adopt takes over a crew that an earlier run of the program left in -dir.
func (c *client) adopt(tree []Node) {
	state := byKey(tree)
	for _, n := range tree {
		if parent, _ := n.Key.Parent(); parent != "crew" {
			continue
		}
		name := n.Key.Name()
		if !c.hired[name] {
			c.asked, c.hired[name] = append(c.asked, name), true
		}
		c.acked[name] = n.State["jobs"]
		c.sent[name] = max(n.State["jobs"], state["crew"]["to "+name])
	}
}

// minutes is how long the no-th job of a worker takes. It follows from the two
// alone, so that a worker's sum can be checked against its count.
func minutes(worker string, no int) int {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d", worker, no)
	return 5 + int(h.Sum32()%26)
}

func order(worker string, no int) Ask {
	return Ask{Op: "order", Name: worker, No: no, Minutes: minutes(worker, no)}
}

// nextOrder asks one of the hired workers for one job more.
func (c *client) nextOrder() Ask {
	name := c.asked[c.rnd.IntN(len(c.asked))]
	for !c.hired[name] {
		name = c.asked[c.rnd.IntN(len(c.asked))]
	}
	c.sent[name]++
	return order(name, c.sent[name])
}

// nextHire asks for one worker more.
func (c *client) nextHire() Ask {
	names := []string{"ann", "bob", "cyd", "dot", "eve", "fay", "gus", "hal"}
	name := fmt.Sprintf("w%02d", len(c.asked))
	if len(c.asked) < len(names) {
		name = names[len(c.asked)]
	}
	c.asked = append(c.asked, name)
	return Ask{Op: "hire", Name: name}
}

// trafficUntilKilled sends orders and one hire, and kills the child at a moment
// drawn at random, which it returns in words. It returns when the child is gone.
func (c *client) trafficUntilKilled(l *life) (when string, err error) {
	after := 100 + c.rnd.IntN(200)
	delay := time.Duration(c.rnd.IntN(3000)) * time.Microsecond
	hireAt := 1 + c.rnd.IntN(after)
	orders, acks := 0, 0
	more := func() (Ask, bool) {
		if orders++; orders == hireAt {
			return c.nextHire(), true
		}
		return c.nextOrder(), true
	}
	finished := c.converse(l, more, func() {
		if acks++; acks == after {
			time.AfterFunc(delay, l.kill)
		}
	})
	when = fmt.Sprintf("%.1f ms after acknowledgement %d", delay.Seconds()*1e3, after)
	if !finished && !l.killed.Load() {
		return when, fmt.Errorf("the child ended by itself after %d acknowledgements", acks)
	}
	return when, nil
}

// repeat sends again what was not acknowledged, until everything is.
func (c *client) repeat(l *life) error {
	var asks []Ask
	for _, name := range c.asked {
		if !c.hired[name] {
			asks = append(asks, Ask{Op: "hire", Name: name})
		}
		for no := c.acked[name] + 1; no <= c.sent[name]; no++ {
			asks = append(asks, order(name, no))
		}
	}
	more := func() (a Ask, ok bool) {
		if len(asks) > 0 {
			a, ok, asks = asks[0], true, asks[1:]
		}
		return a, ok
	}
	if !c.converse(l, more, func() {}) {
		return fmt.Errorf("the child ended with %d orders unanswered", len(asks))
	}
	return nil
}

// converse asks what more gives, up to a window ahead of the answers. It
// returns true when there is nothing more to ask and all is answered, false
// when the child is gone.
func (c *client) converse(l *life, more func() (Ask, bool), acknowledged func()) bool {
	for open := 0; ; open-- {
		for open < window {
			a, ok := more()
			if !ok {
				break
			}
			l.ask(a)
			open++
		}
		if open == 0 {
			return true
		}
		a, alive := <-l.answers
		if !alive {
			return false
		}
		c.acks++
		switch a.Op {
		case "hired":
			c.hired[a.Name] = true
		case "done":
			c.acked[a.Name] = max(c.acked[a.Name], a.No)
		}
		acknowledged()
	}
}
