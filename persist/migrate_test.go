package persist_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/understudy-go/understudy/persist"
	"github.com/understudy-go/understudy/persist/storetest"
)

// The snapshots of an account as three versions of a program saved them.
type (
	accountV1 struct{ Owner, Amount string }
	accountV2 struct {
		Owner string
		Cents int
	}
	account struct { // version 3
		Owners []string
		Cents  int
	}
)

func (*account) Receive(*actor.Context) {}

type oldAccount struct{ accountV1 }

func (*oldAccount) Receive(*actor.Context) {}

var (
	errAmount = errors.New("not an amount")

	toCents = persist.Migrate(1, func(old accountV1) (accountV2, error) {
		next := accountV2{Owner: old.Owner}
		if _, err := fmt.Sscanf(old.Amount, "%d EUR", &next.Cents); err != nil {
			return next, fmt.Errorf("%w: %q", errAmount, old.Amount)
		}
		next.Cents *= 100
		return next, nil
	})
	toOwners = persist.Migrate(2, func(old accountV2) (account, error) {
		return account{Owners: []string{old.Owner}, Cents: old.Cents}, nil
	})
)

func accounts(version uint32, codec persist.Codec, steps ...persist.Migration) *persist.Kind[account] {
	return persist.Define("account", func() *account { return &account{} }, &persist.KindOptions{
		Version: version, Migrations: steps, Codec: codec,
	})
}

// oldStore holds one account of version 1, written with codec.
func oldStore(t *testing.T, codec persist.Codec, amount string) *storetest.Memory {
	t.Helper()
	mem := storetest.NewMemory("")
	first := persist.Define("account", func() *oldAccount { return &oldAccount{} }, &persist.KindOptions{Codec: codec})
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{first}})
	_, err := first.Spawn(context.Background(), sys, "a", func(a *oldAccount) { a.Owner, a.Amount = "ann", amount })
	if err != nil {
		t.Fatal(err)
	}
	if err := sys.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return mem.Reopen()
}

func TestMigrationsLeadStepByStepToThePresentVersion(t *testing.T) {
	for _, from := range []persist.Codec{persist.CBOR, persist.JSON} {
		for _, to := range []persist.Codec{persist.CBOR, persist.JSON} {
			mem := oldStore(t, from, "12 EUR")
			k := accounts(3, to, toOwners, toCents) // in any order
			sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{k}})
			before := stored(t, mem, "a")
			pid, err := k.Respawn(context.Background(), sys, "a")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, stored(t, mem, "a")) {
				t.Error("the respawn alone wrote the record")
			}
			if err := sys.Save(context.Background(), pid); err != nil {
				t.Fatal(err)
			}
			rec := record(t, mem, "a")
			var got account
			if err := to.Unmarshal(rec.Payload, &got); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != "{[ann] 1200}" || rec.KindVersion != 3 || rec.Codec != to.Name() || rec.Seq != 2 {
				t.Errorf("from %s to %s: %+v in version %d, codec %s, seq %d", from.Name(), to.Name(), got, rec.KindVersion, rec.Codec, rec.Seq)
			}
		}
	}
}

func TestAMigrationThatFailsFailsTheRespawnAndLeavesTheRecord(t *testing.T) {
	broken := persist.Migrate(1, func(accountV1) (accountV2, error) { panic(errAmount) })
	other := persist.Migrate(1, func(struct{ Title string }) (accountV2, error) { return accountV2{}, nil })
	late := persist.Migrate(1, func(accountV1) (struct{ At time.Time }, error) {
		return struct{ At time.Time }{time.Unix(0, 0).In(time.FixedZone("", 1))}, nil
	})
	type ring struct {
		Owner string
		Next  *ring
	}
	endless := persist.Migrate(1, func(accountV1) (ring, error) {
		r := ring{}
		r.Next = &r
		return r, nil
	})
	for what, test := range map[string]struct {
		k    *persist.Kind[account]
		want error
		word string
	}{
		"an error":                    {accounts(3, nil, toCents, toOwners), errAmount, "from version 1"},
		"a panic":                     {accounts(3, nil, broken, toOwners), errAmount, "a migration"},
		"an Old that does not fit":    {accounts(3, nil, other, toOwners), persist.ErrBadSnapshot, "version 1"},
		"a New that cannot come back": {accounts(3, nil, late, toOwners), nil, "offset"},
		"a New without an end":        {accounts(3, nil, endless, toOwners), nil, "cycle"},
		"a missing first step":        {accounts(3, nil, toOwners), persist.ErrBadKind, "from version 1 to 2"},
		"a missing last step":         {accounts(3, nil, toCents), persist.ErrBadKind, "from version 2 to 3"},
		"no version raised":           {accounts(1, nil), persist.ErrBadSnapshot, `"account"`},
	} {
		amount := "12 EUR"
		if what == "an error" {
			amount = "a lot"
		}
		mem := oldStore(t, nil, amount)
		sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{test.k}})
		before := stored(t, mem, "a")
		_, err1 := test.k.Respawn(context.Background(), sys, "a")
		_, err2 := test.k.TryRespawn(context.Background(), sys, "a", nil)
		for _, err := range []error{err1, err2} {
			var re *persist.RespawnError
			if !errors.As(err, &re) || re.Key != "a" || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.word) {
				t.Errorf("%s: got %v, want %v with %q", what, err, test.want, test.word)
			}
		}
		if !bytes.Equal(before, stored(t, mem, "a")) {
			t.Errorf("%s: the record was changed", what)
		}
	}
}

func TestARecordOfANewerVersionIsTooNew(t *testing.T) {
	mem := oldStore(t, nil, "1 EUR")
	rewrite(t, mem, "a", func(r *persist.Record) { r.KindVersion = 4 })
	k := accounts(3, nil, toCents, toOwners)
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{k}})
	before := stored(t, mem, "a")
	_, err1 := k.Respawn(context.Background(), sys, "a")
	_, err2 := k.TryRespawn(context.Background(), sys, "a", nil)
	_, err3 := sys.Respawn(context.Background(), "a")
	err4 := sys.RespawnAll(context.Background(), "")
	for _, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, persist.ErrTooNew) || !strings.Contains(err.Error(), "version 4") || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("got %v, want ErrTooNew with version and key", err)
		}
	}
	if !bytes.Equal(before, stored(t, mem, "a")) {
		t.Error("the record was changed")
	}
}

func TestARecordOfVersionZeroIsNeverTakenForThePresentOne(t *testing.T) {
	mem := oldStore(t, nil, "1 EUR")
	rewrite(t, mem, "a", func(r *persist.Record) { r.KindVersion = 0 })
	k := accounts(3, nil, toCents, toOwners)
	sys := systemOn(t, mem, &persist.Options{Kinds: persist.Kinds{k}})
	if _, err := k.Respawn(context.Background(), sys, "a"); !errors.Is(err, persist.ErrBadKind) {
		t.Errorf("got %v, want ErrBadKind: no migration leads from version 0", err)
	}
}
