package main

import (
	"fmt"
	"strconv"
	"strings"
)

// An op is one call of a workload, in the words of fsim's litmus files:
//
//	create f            mkdir d           write f 10 a*100+0*20    truncate f 5
//	rename a b          link a b          unlink a                 rmdir d
//	chmod f 600         fsync f           fdatasync f              sync
//	osync f 0 a*100     rewrite f a*100   (O_SYNC write; O_TRUNC, write, close)
//
// The path "." is the root directory.
type op struct {
	Verb  string
	Path  string
	Path2 string
	N     int64 // write, osync: offset; truncate: size; chmod: mode
	Bytes string
}

// arity is the number of words after the verb.
var arity = map[string]int{"create": 1, "mkdir": 1, "write": 3, "truncate": 2, "rename": 2, "link": 2, "unlink": 1,
	"rmdir": 1, "chmod": 2, "fsync": 1, "fdatasync": 1, "sync": 0, "osync": 3, "rewrite": 2}

func parseOp(line string) (op, error) {
	f := strings.Fields(line)
	bad := fmt.Errorf("no call: %q", line)
	if len(f) == 0 {
		return op{}, bad
	}
	n, known := arity[f[0]]
	if !known || len(f) != n+1 {
		return op{}, bad
	}
	o := op{Verb: f[0]}
	if n > 0 {
		o.Path = f[1]
	}
	var err error
	switch o.Verb {
	case "rename", "link":
		o.Path2 = f[2]
	case "truncate":
		o.N, err = strconv.ParseInt(f[2], 10, 64)
	case "chmod":
		o.N, err = strconv.ParseInt(f[2], 8, 64)
	case "write", "osync":
		o.N, err = strconv.ParseInt(f[2], 10, 64)
		o.Bytes = f[3]
	case "rewrite":
		o.Bytes = f[2]
	}
	if err == nil && o.Bytes != "" {
		_, err = runs(o.Bytes)
	}
	if err != nil {
		return op{}, fmt.Errorf("%w: %w", bad, err)
	}
	return o, nil
}

func (o op) String() string {
	switch o.Verb {
	case "rename", "link":
		return o.Verb + " " + o.Path + " " + o.Path2
	case "truncate":
		return fmt.Sprintf("truncate %s %d", o.Path, o.N)
	case "chmod":
		return fmt.Sprintf("chmod %s %o", o.Path, o.N)
	case "write", "osync":
		return fmt.Sprintf("%s %s %d %s", o.Verb, o.Path, o.N, o.Bytes)
	case "rewrite":
		return "rewrite " + o.Path + " " + o.Bytes
	case "sync":
		return "sync"
	}
	return o.Verb + " " + o.Path
}

// raises says whether the call ends with a promise, so that less is legal after it than just before.
func (o op) raises() bool {
	switch o.Verb {
	case "fsync", "fdatasync", "sync", "osync":
		return true
	}
	return false
}

// runs makes bytes of runs such as a*10+0*20; 0 stands for the zero byte.
func runs(s string) ([]byte, error) {
	var out []byte
	for _, r := range strings.Split(s, "+") {
		c, n, ok := strings.Cut(r, "*")
		k, err := strconv.ParseUint(n, 10, 24)
		if !ok || err != nil || len(c) != 1 {
			return nil, fmt.Errorf("no run: %q", r)
		}
		b := c[0]
		if b == '0' {
			b = 0
		}
		for range k {
			out = append(out, b)
		}
	}
	return out, nil
}

// asRuns is the inverse of runs; bytes that do not print are shown in hexadecimal.
func asRuns(b []byte) string {
	if len(b) == 0 {
		return "empty"
	}
	var out []string
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && b[j] == b[i] {
			j++
		}
		c := string(rune(b[i]))
		switch {
		case b[i] == 0:
			c = "0"
		case b[i] <= ' ' || b[i] > '~':
			c = fmt.Sprintf("%%%02x", b[i])
		}
		out = append(out, fmt.Sprintf("%s*%d", c, j-i))
		i = j
	}
	if len(out) > 12 {
		out = append(out[:12], "…")
	}
	return strings.Join(out, "+")
}
