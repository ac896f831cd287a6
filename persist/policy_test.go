package persist_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-go/understudy/persist"
)

// commits returns how often the store was written to.
func commits(w *world) int {
	synctest.Wait()
	return len(w.store.committed())
}

// saves expects n commits since the birth, and v as what is saved.
func saves(w *world, n, v int) {
	w.Helper()
	if got := commits(w) - 1; got != n {
		w.Errorf("%d saves so far, want %d", got, n)
	}
	if got := w.saved("k"); got != v {
		w.Errorf("%d is saved, want %d", got, v)
	}
}

func TestOnStopSavesAtTheEndAndNotBefore(t *testing.T) {
	for name, p := range map[string]persist.Policy{"OnStop": persist.OnStop(), "zero": {}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				pid := w.spawn("k", 1)
				for range 100 {
					w.e.Send(pid, 1)
				}
				time.Sleep(24 * time.Hour)
				saves(w, 0, 1)
				if err := w.sys.Stop(w.ctx, pid); err != nil {
					t.Fatal(err)
				}
				saves(w, 1, 101)
			}, saving(p))
		})
	}
}

func TestEveryMessagesSavesAfterEachNthMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		synctest.Wait()
		base := commits(w) - 1 // the messages of the start count too
		var at []int
		for i := 1; i <= 12; i++ {
			w.e.Send(pid, 1)
			if n := commits(w) - 1; n > base+len(at) {
				at = append(at, i)
			}
		}
		if len(at) != 3 && len(at) != 4 {
			t.Fatalf("saved after the messages %v", at)
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] != 3 {
				t.Errorf("saved after the messages %v, want every third", at)
			}
		}
		if got, want := w.saved("k"), at[len(at)-1]; got != want {
			t.Errorf("%d is saved, want %d", got, want)
		}
	}, saving(persist.EveryMessages(3)))
}

func TestEveryMessagesCountsFromTheLastSave(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		for range 3 {
			w.e.Send(pid, 1)
		}
		if err := w.sys.Save(w.ctx, pid); err != nil {
			t.Fatal(err)
		}
		n := commits(w)
		for range 4 {
			w.e.Send(pid, 1)
		}
		if got := commits(w); got != n {
			t.Errorf("saved before the fifth message since the last save")
		}
		w.e.Send(pid, 1)
		if got := commits(w); got != n+1 || w.saved("k") != 8 {
			t.Errorf("%d saves after the fifth message, %d is saved", got-n, w.saved("k"))
		}
	}, saving(persist.EveryMessages(5)))
}

func TestEverySavesThatLongAfterTheFirstMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		time.Sleep(time.Hour) // lets the save of the start pass
		n := commits(w) - 1
		w.e.Send(pid, 1)
		time.Sleep(59 * time.Second)
		w.e.Send(pid, 1) // does not put it off
		saves(w, n, 0)
		time.Sleep(time.Second)
		saves(w, n+1, 2)
		time.Sleep(24 * time.Hour)
		saves(w, n+1, 2)
		w.e.Send(pid, 1)
		time.Sleep(time.Minute)
		saves(w, n+2, 3)
	}, saving(persist.Every(time.Minute)))
}

func TestAnIdleActorNeedsNoTimer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.spawn("k", 0)
		time.Sleep(time.Hour)
		n := commits(w)
		start := time.Now()
		time.Sleep(1000 * time.Hour)
		if got := commits(w); got != n {
			t.Errorf("%d saves in %v without a message", got-n, time.Since(start))
		}
	}, saving(persist.Every(time.Millisecond)))
}

func TestAlwaysSavesEveryChangeAndCoalescesWhatComesMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		for i := 1; i <= 5; i++ {
			w.e.Send(pid, 1)
			saves(w, i, i)
		}
		gate := make(chan struct{})
		w.store.setGate(gate)
		for range 50 {
			w.e.Send(pid, 1)
		}
		saves(w, 5, 5)
		gate <- struct{}{}
		saves(w, 6, 6)
		gate <- struct{}{}
		saves(w, 7, 55)
		w.store.setGate(nil)
		saves(w, 7, 55)
	}, saving(persist.Always()))
}

func TestAMessageThatChangesNothingIsNotWritten(t *testing.T) {
	for _, p := range []persist.Policy{persist.Always(), persist.EveryMessages(1), persist.Every(time.Second)} {
		inWorld(t, func(w *world) {
			pid := w.spawn("k", 3)
			for range 10 {
				w.e.Send(pid, 0)
				time.Sleep(2 * time.Second)
			}
			saves(w, 0, 3)
		}, saving(p))
	}
}

func TestOrSavesWhenEitherPolicySaysSo(t *testing.T) {
	inWorld(t, func(w *world) {
		pid := w.spawn("k", 0)
		time.Sleep(time.Hour)
		w.e.Send(pid, 1)
		saves(w, 0, 0)
		time.Sleep(time.Minute)
		saves(w, 1, 1)
		for range 3 {
			w.e.Send(pid, 1)
		}
		saves(w, 2, 4)
	}, saving(persist.EveryMessages(3).Or(persist.Every(time.Minute)).Or(persist.OnStop())))
}

func TestOrKeepsTheStricterOfTwoOfOneKind(t *testing.T) {
	for _, both := range [][2]persist.Policy{
		{persist.EveryMessages(2), persist.EveryMessages(50)},
		{persist.EveryMessages(50), persist.EveryMessages(2)},
		{persist.Every(time.Hour).Or(persist.EveryMessages(2)), persist.Every(48 * time.Hour)},
	} {
		inWorld(t, func(w *world) {
			pid := w.spawn("k", 0)
			w.e.Send(pid, 1)
			w.e.Send(pid, 1)
			if commits(w) < 2 {
				t.Error(fmt.Sprint("not saved after two messages by ", both))
			}
		}, saving(both[0].Or(both[1])))
	}
}
