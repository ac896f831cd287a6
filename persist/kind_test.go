package persist_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// systemOn starts a system on a new engine; it is closed when the test ends.
func systemOn(t testing.TB, store persist.Store, o *persist.Options) *persist.System {
	t.Helper()
	e, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		t.Fatal(err)
	}
	sys, err := persist.New(e, store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return sys
}

// hero is an actor of many parts. It shows what it has to whoever sends it a
// function.
type hero struct {
	Name  string
	Items map[string]int
	Notes []string
	Stats
	Cache map[string]int `cbor:"-" json:"-"`

	db string
}

type Stats struct{ HP, XP int }

func (h *hero) Receive(c *actor.Context) {
	if f, ok := c.Message().(func(*hero)); ok {
		f(h)
	}
}

func newHero() *hero {
	return &hero{Name: "default", Items: map[string]int{"sword": 1, "lamp": 1}, Notes: []string{"born"}, Stats: Stats{10, 10}, Cache: map[string]int{}, db: "open"}
}

// inside runs f on the actor's goroutine and waits for it.
func inside(sys *persist.System, pid *actor.PID, f func(*hero)) {
	done := make(chan struct{})
	sys.Engine().Send(pid, func(h *hero) { defer close(done); f(h) })
	<-done
}

// secondLife saves and stops the actor of key, and brings it back from the
// reopened store with kinds of another definition.
func secondLife(t *testing.T, sys *persist.System, mem *storetest.Memory, key persist.Key, kinds ...persist.AnyKind) (*persist.System, *actor.PID, error) {
	t.Helper()
	if err := sys.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	next := systemOn(t, mem.Reopen(), &persist.Options{Kinds: kinds})
	pid, err := next.Respawn(context.Background(), key)
	return next, pid, err
}

func TestConstructorDefaultsNeverLeakIntoWhatWasSaved(t *testing.T) {
	for _, codec := range []persist.Codec{persist.CBOR, persist.JSON} {
		heroes := persist.Define("hero", newHero, &persist.KindOptions{Codec: codec})
		mem := storetest.NewMemory("")
		sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{heroes}})
		pid, err := heroes.Spawn(context.Background(), sys, "h", func(h *hero) { h.Name = "robin" })
		if err != nil {
			t.Fatal(err)
		}
		inside(sys, pid, func(h *hero) {
			delete(h.Items, "lamp")
			h.Items["bow"] = 3
			h.Notes, h.XP = nil, 0
			h.Cache["x"] = 1
		})
		sys, pid, err = secondLife(t, sys, mem, "h", heroes)
		if err != nil {
			t.Fatal(err)
		}
		inside(sys, pid, func(h *hero) {
			want := &hero{Name: "robin", Items: map[string]int{"sword": 1, "bow": 3}, Stats: Stats{HP: 10}, Cache: map[string]int{}, db: "open"}
			if !reflect.DeepEqual(h, want) {
				t.Errorf("%s brought back %+v, want %+v", codec.Name(), h, want)
			}
		})
	}
}

// vault has a snapshot type of its own.
type vault struct {
	coins  map[string]int
	opened int
	fail   string
}

type vaultState struct{ Coins map[string]int }

func (v *vault) Receive(c *actor.Context) {
	if f, ok := c.Message().(func(*vault)); ok {
		f(v)
	}
}
func (v *vault) Snapshot() vaultState {
	if v.fail == "snapshot" {
		panic("no snapshot")
	}
	return vaultState{v.coins}
}

var errVault = errors.New("the vault does not open")

func (v *vault) Restore(s vaultState) error {
	switch v.fail {
	case "error":
		return errVault
	case "panic":
		panic(errVault)
	}
	v.coins, v.opened = s.Coins, v.opened+1
	return nil
}

func vaults(fail string) *persist.Kind[vault] {
	return persist.DefineSnapshot("vault", func() *vault { return &vault{coins: map[string]int{"default": 1}, fail: fail} }, nil)
}

func TestACustomSnapshotIsRestoredOnceOnANewlyConstructedActor(t *testing.T) {
	mem := storetest.NewMemory("")
	k := vaults("")
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{k}})
	_, err := k.Spawn(context.Background(), sys, "v", func(v *vault) { v.coins = map[string]int{"gold": 7} })
	if err != nil {
		t.Fatal(err)
	}
	sys, pid, err := secondLife(t, sys, mem, "v", k)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	sys.Engine().Send(pid, func(v *vault) {
		defer close(done)
		if want := (map[string]int{"gold": 7}); !reflect.DeepEqual(v.coins, want) || v.opened != 1 {
			t.Errorf("got %v, restored %d times", v.coins, v.opened)
		}
	})
	<-done
}

func TestARestoreThatFailsOrPanicsFailsTheRespawnAndLeavesTheRecord(t *testing.T) {
	mem := storetest.NewMemory("")
	good := vaults("")
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{good}})
	if _, err := good.Spawn(context.Background(), sys, "v", nil); err != nil {
		t.Fatal(err)
	}
	for _, fail := range []string{"error", "panic"} {
		before := stored(t, mem, "v")
		bad := vaults(fail)
		next, _, err := secondLife(t, sys, mem, "v", bad)
		var re *persist.RespawnError
		var pe *persist.PanicError
		if !errors.Is(err, errVault) || !errors.As(err, &re) || re.Key != "v" || errors.As(err, &pe) != (fail == "panic") {
			t.Errorf("a Restore with %s: got %v", fail, err)
		}
		if _, live := next.Lookup("v"); live {
			t.Error("the actor is live all the same")
		}
		if _, err := bad.TryRespawn(context.Background(), next, "v", nil); !errors.Is(err, errVault) {
			t.Errorf("TryRespawn: got %v", err)
		}
		if !bytes.Equal(before, stored(t, mem, "v")) {
			t.Error("the record was changed")
		}
		sys = next
	}
	bad := vaults("snapshot")
	next := systemOn(t, mem.Reopen(), &persist.Options{Kinds: persist.Kinds{bad}})
	var pe *persist.PanicError
	if _, err := bad.Spawn(context.Background(), next, "w", nil); !errors.As(err, &pe) || pe.In != "Snapshot" || pe.Key != "w" {
		t.Errorf("a Snapshot that panics: got %v", err)
	}
}

// stored returns the bytes that are stored under key.
func stored(t *testing.T, mem *storetest.Memory, key persist.Key) (b []byte) {
	t.Helper()
	if err := mem.Edit(key, func(have []byte) []byte { b = bytes.Clone(have); return have }); err != nil {
		t.Fatal(err)
	}
	return b
}

type leaky struct{ Conn any }

func (*leaky) Receive(*actor.Context) {}

type integer int

func (*integer) Receive(*actor.Context) {}

type function func()

func (*function) Receive(*actor.Context) {}

func inert() *hero { return &hero{} }

// wrongKinds are definitions that must be refused, each with a word that the
// error must contain.
func wrongKinds() map[string]persist.AnyKind {
	long := strings.Repeat("n", 256)
	def := func(o persist.KindOptions) persist.AnyKind { return persist.Define("wrong", inert, &o) }
	hw := func(f ...actor.OptFunc) persist.AnyKind { return def(persist.KindOptions{Hollywood: f}) }
	step := func(from uint32) persist.Migration {
		return persist.Migrate(from, func(Stats) (Stats, error) { return Stats{}, nil })
	}
	return map[string]persist.AnyKind{
		"leaky.Conn":         persist.Define("wrong", func() *leaky { return nil }, nil),
		"not a struct":       persist.Define("wrong", func() *integer { return nil }, nil),
		"func":               persist.Define("wrong", func() *function { return nil }, nil),
		"constructor is nil": persist.Define[*hero]("wrong", nil, nil),
		"DefineSnapshot":     persist.Define("wrong", func() *vault { return &vault{} }, nil),
		"0 bytes":            persist.Define("", inert, nil),
		"256 bytes":          persist.Define(long, inert, nil),
		"257 bytes":          def(persist.KindOptions{FormerNames: []string{"fine", long + "n"}}),
		"codec's name":       def(persist.KindOptions{Codec: nameless{persist.CBOR}}),
		"EveryMessages(0)":   def(persist.KindOptions{Save: persist.EveryMessages(0)}),
		"Every(-1ns)":        def(persist.KindOptions{Save: persist.Always().Or(persist.Every(-1))}),
		"id":                 hw(actor.WithID("1")),
		"restart":            hw(actor.WithMaxRestarts(3)),
		"restart limit":      hw(actor.WithRestartDelay(1)),
		"inbox of 0":         hw(actor.WithInboxSize(0)),
		"inbox of -1":        hw(actor.WithInboxSize(-1)),
		"option is nil":      hw(nil),
		"from version 0":     def(persist.KindOptions{Version: 2, Migrations: []persist.Migration{step(0)}}),
		"from version 2":     def(persist.KindOptions{Version: 2, Migrations: []persist.Migration{step(2)}}),
		"two migrations":     def(persist.KindOptions{Version: 3, Migrations: []persist.Migration{step(1), step(1)}}),
		"without a function": def(persist.KindOptions{Version: 2, Migrations: []persist.Migration{{}}}),
		"migration from version 1": def(persist.KindOptions{Version: 2, Migrations: []persist.Migration{
			persist.Migrate(1, func(Stats) (struct{ F []any }, error) { return struct{ F []any }{}, nil }),
		}}),
		"version 1 without": def(persist.KindOptions{Version: 2, Migrations: []persist.Migration{persist.Migrate[Stats, Stats](1, nil)}}),
	}
}

type nameless struct{ persist.Codec }

func (nameless) Name() string { return "" }

func TestWhatIsWrongWithAKindIsToldByErrByNewAndBySpawnNeverByAPanic(t *testing.T) {
	for word, k := range wrongKinds() {
		err := k.Err()
		if !errors.Is(err, persist.ErrBadKind) || !strings.Contains(err.Error(), word) {
			t.Errorf("Err says %v, want ErrBadKind with %q", err, word)
			continue
		}
		e, _ := actor.NewEngine(actor.NewEngineConfig())
		mem := storetest.NewMemory("")
		_, err = persist.New(e, mem, &persist.Options{Kinds: persist.Kinds{k}})
		if !errors.Is(err, persist.ErrBadKind) || !strings.Contains(err.Error(), word) {
			t.Errorf("New says %v, want ErrBadKind with %q", err, word)
		}
		if _, _, err := mem.Load(context.Background(), "k"); !errors.Is(err, persist.ErrClosed) {
			t.Errorf("New failed and left its store open: %v", err)
		}
	}
	wrong := persist.Define("wrong", func() *leaky { return nil }, nil)
	sys := systemOn(t, storetest.NewMemory(""), nil)
	ctx := context.Background()
	_, err1 := wrong.Spawn(ctx, sys, "a", nil)
	_, err2 := wrong.Respawn(ctx, sys, "a")
	_, err3 := wrong.TryRespawn(ctx, sys, "a", nil)
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, persist.ErrBadKind) || !strings.Contains(err.Error(), "leaky.Conn") || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("got %v, want ErrBadKind with the key and the field", err)
		}
	}
}

func TestNewNamesEveryWrongKind(t *testing.T) {
	e, _ := actor.NewEngine(actor.NewEngineConfig())
	one := persist.Define("one", func() *leaky { return nil }, nil)
	two := persist.Define[*hero]("two", nil, nil)
	_, err := persist.New(e, storetest.NewMemory(""), &persist.Options{Kinds: persist.Kinds{one, two, nil}})
	for _, word := range []string{`"one"`, `"two"`, "nil kind"} {
		if !errors.Is(err, persist.ErrBadKind) || !strings.Contains(err.Error(), word) {
			t.Errorf("got %v, want ErrBadKind with %s", err, word)
		}
	}
}

func TestTwoKindsMayNotShareAName(t *testing.T) {
	other := func(name string, former ...string) persist.AnyKind {
		return persist.Define(name, inert, &persist.KindOptions{FormerNames: former})
	}
	for _, kinds := range []persist.Kinds{
		{other("a"), other("a")},
		{other("a"), other("b", "a")},
		{other("a", "b"), other("b")},
		{other("a", "old"), other("b", "old")},
	} {
		e, _ := actor.NewEngine(actor.NewEngineConfig())
		if _, err := persist.New(e, storetest.NewMemory(""), &persist.Options{Kinds: kinds}); !errors.Is(err, persist.ErrBadKind) {
			t.Errorf("got %v, want ErrBadKind", err)
		}
	}
	same := other("a", "a", "b")
	systemOn(t, storetest.NewMemory(""), &persist.Options{Kinds: persist.Kinds{same, same}})
}

func TestOnlyTheKindsOfTheSystemAreKnown(t *testing.T) {
	mem := storetest.NewMemory("")
	known := persist.Define("known", newHero, nil)
	twin := persist.Define("known", newHero, nil)
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{known}})
	if _, err := twin.Spawn(context.Background(), sys, "k", nil); !errors.Is(err, persist.ErrUnknownKind) {
		t.Errorf("Spawn: got %v, want ErrUnknownKind", err)
	}
	if _, err := known.Spawn(context.Background(), sys, "k", nil); err != nil {
		t.Fatal(err)
	}
	before := stored(t, mem, "k")
	_, _, err := secondLife(t, sys, mem, "k", persist.Define("other", newHero, nil))
	var re *persist.RespawnError
	if !errors.Is(err, persist.ErrUnknownKind) || !errors.As(err, &re) || re.Key != "k" || !strings.Contains(err.Error(), `"known"`) {
		t.Errorf("Respawn: got %v, want ErrUnknownKind with both names", err)
	}
	if !bytes.Equal(before, stored(t, mem, "k")) {
		t.Error("the record was changed")
	}
}

func TestAFormerNameIsReadAndTheNextSaveWritesTheNewOne(t *testing.T) {
	mem := storetest.NewMemory("")
	old := persist.Define("old", newHero, nil)
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{old}})
	if _, err := old.Spawn(context.Background(), sys, "h", nil); err != nil {
		t.Fatal(err)
	}
	renamed := persist.Define("new", newHero, &persist.KindOptions{FormerNames: []string{"older", "old"}})
	sys, pid, err := secondLife(t, sys, mem, "h", renamed)
	if err != nil {
		t.Fatal(err)
	}
	if rec := record(t, mem, "h"); rec.Kind != "old" {
		t.Errorf("the respawn alone wrote a record of kind %q", rec.Kind)
	}
	inside(sys, pid, func(*hero) {})
	if err := sys.Save(context.Background(), pid); err != nil {
		t.Fatal(err)
	}
	if rec := record(t, mem, "h"); rec.Kind != "new" {
		t.Errorf("the record is of kind %q after a save, want new", rec.Kind)
	}
	if _, err := renamed.Respawn(context.Background(), sys, "h"); err != nil {
		t.Errorf("the typed respawn does not know its own: %v", err)
	}
}

func record(t *testing.T, mem *storetest.Memory, key persist.Key) persist.Record {
	t.Helper()
	rec, err := persist.DecodeRecord(stored(t, mem, key), key, "memory")
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// rewrite changes the record of a key as another program would have written it.
func rewrite(t *testing.T, mem *storetest.Memory, key persist.Key, change func(*persist.Record)) {
	t.Helper()
	rec := record(t, mem, key)
	change(&rec)
	if err := mem.Edit(key, func([]byte) []byte { return rec.Append(nil) }); err != nil {
		t.Fatal(err)
	}
}

func TestARecordOfAnotherCodecIsReadAndAnUnknownCodecIsRefused(t *testing.T) {
	mem := storetest.NewMemory("")
	inCBOR := persist.Define("hero", newHero, nil)
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{inCBOR}})
	if _, err := inCBOR.Spawn(context.Background(), sys, "h", func(h *hero) { h.Items = map[string]int{"é": 1} }); err != nil {
		t.Fatal(err)
	}
	inJSON := persist.Define("hero", newHero, &persist.KindOptions{Codec: persist.JSON})
	sys, pid, err := secondLife(t, sys, mem, "h", inJSON)
	if err != nil {
		t.Fatal(err)
	}
	if err := sys.Save(context.Background(), pid); err != nil {
		t.Fatal(err)
	}
	if rec := record(t, mem, "h"); rec.Codec != "json" || !bytes.Contains(rec.Payload, []byte(`"Items":{"é":1}`)) {
		t.Errorf("after a save the record is %s: %q", rec.Codec, rec.Payload)
	}
	rewrite(t, mem, "h", func(r *persist.Record) { r.Codec = "msgpack" })
	before := stored(t, mem, "h")
	_, _, err = secondLife(t, sys, mem, "h", inCBOR) // nothing is written: what lives equals what it saved
	if !errors.Is(err, persist.ErrUnknownCodec) || !strings.Contains(err.Error(), `"msgpack"`) {
		t.Errorf("got %v, want ErrUnknownCodec with its name", err)
	}
	if !bytes.Equal(before, stored(t, mem, "h")) {
		t.Error("the record was changed")
	}
	sys = systemOn(t, mem.Reopen(), &persist.Options{Kinds: persist.Kinds{inCBOR}, Codecs: []persist.Codec{renamedCodec{persist.JSON, "msgpack"}}})
	if _, err := sys.Respawn(context.Background(), "h"); err != nil {
		t.Errorf("a codec of Options.Codecs is not used: %v", err)
	}
}

type renamedCodec struct {
	persist.Codec
	name string
}

func (c renamedCodec) Name() string { return c.name }

func TestASnapshotThatDoesNotFitItsTypeIsRefusedAndStaysUntouched(t *testing.T) {
	mem := storetest.NewMemory("")
	heroes := persist.Define("hero", newHero, nil)
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{heroes}})
	if _, err := heroes.Spawn(context.Background(), sys, "h", nil); err != nil {
		t.Fatal(err)
	}
	good := record(t, mem, "h").Payload
	if err := sys.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	payload := func(v any) []byte {
		b, err := persist.CBOR.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for what, p := range map[string][]byte{
		"a field that the type lacks":   payload(map[string]any{"Name": "x", "Mana": 7}),
		"a field of another type":       payload(map[string]any{"Items": []int{1}}),
		"a field that the tags exclude": payload(map[string]any{"Cache": map[string]int{}}),
		"a field that is not exported":  payload(map[string]any{"db": "x"}),
		"a field in another case":       payload(map[string]any{"name": "x"}),
		"a number that does not fit":    payload(map[string]any{"HP": uint64(1) << 63}),
		"bytes left over":               append(bytes.Clone(good), 0),
		"another shape altogether":      payload([]int{1, 2, 3}),
		"nothing":                       {},
		"zeros":                         make([]byte, 20),
	} {
		rewrite(t, mem, "h", func(r *persist.Record) { r.Payload = p })
		before := stored(t, mem, "h")
		sys := systemOn(t, mem.Reopen(), &persist.Options{Kinds: persist.Kinds{heroes}})
		_, err1 := heroes.Respawn(context.Background(), sys, "h")
		_, err2 := heroes.TryRespawn(context.Background(), sys, "h", nil)
		for _, err := range []error{err1, err2} {
			if !errors.Is(err, persist.ErrBadSnapshot) || !strings.Contains(err.Error(), `"h"`) || !strings.Contains(err.Error(), `"hero"`) {
				t.Errorf("%s: got %v, want ErrBadSnapshot with key and kind", what, err)
			}
		}
		if err := sys.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(before, stored(t, mem, "h")) {
			t.Errorf("%s: the record was changed", what)
		}
	}
}
