package fsim

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// ErrFaultText is what every [*FaultTextError] wraps.
var ErrFaultText = errors.New("malformed fault")

// A FaultTextError says where the text of a fault is malformed, and why.
type FaultTextError struct {
	Text   string
	Pos    int // byte offset in Text
	Reason string
}

func (e *FaultTextError) Error() string {
	return fmt.Sprintf("parse fault %q at byte %d: %s", e.Text, e.Pos, e.Reason)
}

// Unwrap returns [ErrFaultText].
func (e *FaultTextError) Unwrap() error { return ErrFaultText }

var faultNames = [...]string{
	FaultShort: "short", FaultSilent: "silent", FaultLie: "lie", FaultLost: "lost",
	FaultMisdirect: "misdirect", FaultRot: "rot", FaultBad: "bad", FaultSlow: "slow",
	FaultReadOnly: "readonly", FaultPowerOff: "poweroff",
}

var whenNames = [...]string{WhenBefore: "before", WhenHalf: "half", WhenAfter: "after"}

// String returns the fault in one line, as [ParseFault] reads it.
func (f Fault) String() string {
	var b strings.Builder
	if f.Kind == FaultError {
		b.WriteString(ErrnoName(f.Errno))
	} else if int(f.Kind) < len(faultNames) {
		b.WriteString(faultNames[f.Kind])
	}
	for i, c := range f.Calls {
		b.WriteString([]string{" ", ","}[min(i, 1)] + c.String())
	}
	put := func(key, value string, isSet bool) {
		if isSet {
			b.WriteString(" " + key + "=" + value)
		}
	}
	num := func(key string, n int64) { put(key, strconv.FormatInt(n, 10), n != 0) }
	put("who", quote(f.Who), f.Who != "")
	put("path", quote(f.Path), f.Path != "")
	num("nth", f.Nth)
	if f.Times == Ever {
		put("times", "ever", true)
	} else {
		num("times", f.Times)
	}
	put("p", strconv.FormatFloat(f.Prob, 'g', -1, 64), f.Prob != 0)
	put("seed", strconv.FormatUint(f.Seed, 10), f.Seed != 0)
	if f.When != WhenDefault && int(f.When) < len(whenNames) {
		put("when", whenNames[f.When], true)
	}
	num("n", f.N)
	num("by", f.By)
	num("at", f.At)
	num("bit", int64(f.Bit))
	put("delay", f.Delay.String(), f.Delay != 0)
	put("evict", "yes", f.Evict)
	put("abort", "yes", f.Abort)
	return b.String()
}

// ParseFault reads a fault as it prints: what goes wrong (the name of an error
// number, or "short", "silent", "lie", "lost", "misdirect", "rot", "bad",
// "slow", "readonly", "poweroff"), then, if not all, the calls that it strikes,
// separated by commas, then key=value pairs in any order, each at most once.
// Values with spaces are quoted as in Go. Errors are *[FaultTextError].
func ParseFault(text string) (Fault, error) {
	p := &faultParser{text: text, seen: map[string]bool{}}
	words, err := p.words()
	if err != nil {
		return Fault{}, err
	}
	if len(words) == 0 {
		return Fault{}, p.fail(0, "empty")
	}
	if err := p.kind(words[0]); err != nil {
		return Fault{}, err
	}
	for i, w := range words[1:] {
		if i == 0 && w.key == "" {
			err = p.calls(w)
		} else {
			err = p.pair(w)
		}
		if err != nil {
			return Fault{}, err
		}
	}
	return p.fault, nil
}

// ParseFaults reads any number of faults, one to a line; empty lines and lines
// that begin with "#" are passed over.
func ParseFaults(text string) ([]Fault, error) {
	var faults []Fault
	at := 0
	for _, line := range strings.SplitAfter(text, "\n") {
		s := strings.TrimSpace(line)
		if s != "" && s[0] != '#' {
			f, err := ParseFault(line)
			if err != nil {
				var e *FaultTextError
				errors.As(err, &e)
				return nil, &FaultTextError{Text: text, Pos: at + e.Pos, Reason: e.Reason}
			}
			faults = append(faults, f)
		}
		at += len(line)
	}
	return faults, nil
}

type faultWord struct {
	pos        int
	key, value string // key is empty where there is no "="
}

type faultParser struct {
	text  string
	fault Fault
	seen  map[string]bool
}

func (p *faultParser) fail(pos int, format string, args ...any) error {
	return &FaultTextError{Text: p.text, Pos: pos, Reason: fmt.Sprintf(format, args...)}
}

// words splits the text at spaces outside of quotes.
func (p *faultParser) words() ([]faultWord, error) {
	var words []faultWord
	s := p.text
	for at := 0; at < len(s); {
		if strings.IndexByte(" \t\r\n", s[at]) >= 0 {
			at++
			continue
		}
		w := faultWord{pos: at}
		end := at
		for end < len(s) && strings.IndexByte(" \t\r\n=", s[end]) < 0 {
			end++
		}
		if end == len(s) || s[end] != '=' {
			w.value, at = s[at:end], end
			words = append(words, w)
			continue
		}
		w.key, at = s[at:end], end+1
		if at < len(s) && s[at] == '"' {
			quoted, err := strconv.QuotedPrefix(s[at:])
			if err != nil {
				return nil, p.fail(at, "quote without end")
			}
			w.value, err = strconv.Unquote(quoted)
			if err != nil {
				return nil, p.fail(at, "malformed quote")
			}
			at += len(quoted)
		} else {
			end = at
			for end < len(s) && strings.IndexByte(" \t\r\n", s[end]) < 0 {
				end++
			}
			w.value, at = s[at:end], end
		}
		words = append(words, w)
	}
	return words, nil
}

func (p *faultParser) kind(w faultWord) error {
	if w.key != "" {
		return p.fail(w.pos, "%q where the kind of fault is expected", w.key+"=")
	}
	if no, ok := errnoByName(w.value); ok {
		p.fault.Kind, p.fault.Errno = FaultError, no
		return nil
	}
	for k, name := range faultNames {
		if name != "" && name == w.value {
			p.fault.Kind = FaultKind(k)
			return nil
		}
	}
	return p.fail(w.pos, "unknown kind of fault %q", w.value)
}

func (p *faultParser) calls(w faultWord) error {
	pos := w.pos
	for _, name := range strings.Split(w.value, ",") {
		found := false
		for k, n := range callNames {
			if n != "" && n == name {
				p.fault.Calls = append(p.fault.Calls, CallKind(k))
				found = true
			}
		}
		if !found {
			return p.fail(pos, "unknown call %q", name)
		}
		pos += len(name) + 1
	}
	return nil
}

func (p *faultParser) pair(w faultWord) error {
	if w.key == "" {
		return p.fail(w.pos, "%q where key=value is expected", w.value)
	}
	if p.seen[w.key] {
		return p.fail(w.pos, "%s given twice", w.key)
	}
	p.seen[w.key] = true
	f := &p.fault
	switch w.key {
	case "who":
		f.Who = w.value
	case "path":
		f.Path = w.value
		if _, err := path.Match(f.Path, ""); err != nil {
			return p.fail(w.pos, "malformed pattern %q", w.value)
		}
	case "nth":
		return p.number(w, &f.Nth, 1)
	case "times":
		if w.value == "ever" {
			f.Times = Ever
			return nil
		}
		return p.number(w, &f.Times, 1)
	case "n":
		return p.number(w, &f.N, 1)
	case "at":
		return p.number(w, &f.At, 0)
	case "by":
		return p.number(w, &f.By, -maxFileSize)
	case "bit":
		var bit int64
		err := p.number(w, &bit, 0)
		if err == nil && bit > 7 {
			return p.fail(w.pos, "bit=%d is not from 0 to 7", bit)
		}
		f.Bit = int(bit)
		return err
	default:
		return p.rest(w)
	}
	return nil
}

// rest reads the pairs whose value is neither a text nor an integer.
func (p *faultParser) rest(w faultWord) (err error) {
	f := &p.fault
	switch w.key {
	case "p":
		f.Prob, err = strconv.ParseFloat(w.value, 64)
		if err != nil || !(f.Prob > 0 && f.Prob <= 1) {
			return p.fail(w.pos, "p=%s is not above 0 and at most 1", w.value)
		}
	case "seed":
		if f.Seed, err = strconv.ParseUint(w.value, 10, 64); err != nil {
			return p.fail(w.pos, "seed=%s is not a number", w.value)
		}
	case "when":
		for k, name := range whenNames {
			if name != "" && name == w.value {
				f.When = When(k)
				return nil
			}
		}
		return p.fail(w.pos, "when=%s is not before, half or after", w.value)
	case "delay":
		if f.Delay, err = time.ParseDuration(w.value); err != nil || f.Delay < 0 {
			return p.fail(w.pos, "delay=%s is not a duration", w.value)
		}
	case "evict", "abort":
		if w.value != "yes" {
			return p.fail(w.pos, "%s=%s is not yes", w.key, w.value)
		}
		f.Evict = f.Evict || w.key == "evict"
		f.Abort = f.Abort || w.key == "abort"
	default:
		return p.fail(w.pos, "unknown key %q", w.key)
	}
	return nil
}

func (p *faultParser) number(w faultWord, to *int64, least int64) error {
	n, err := strconv.ParseInt(w.value, 10, 64)
	if err != nil {
		return p.fail(w.pos, "%s=%s is not a number", w.key, w.value)
	}
	if n < least {
		return p.fail(w.pos, "%s=%d is below %d", w.key, n, least)
	}
	if n > maxFileSize {
		return p.fail(w.pos, "%s=%d is above %d", w.key, n, int64(maxFileSize))
	}
	*to = n
	return nil
}
