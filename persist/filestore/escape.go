package filestore

import (
	"path/filepath"
	"strings"

	"github.com/understudy-go/understudy/persist"
)

// How a key becomes a path. Each segment is one folder, whose name holds only
// characters that no filesystem treats specially:
//
//   - a-z, 0-9, "-", "_" and "." stand for themselves;
//   - A-Z become "+a" to "+z", so that names differ where case does not count;
//   - every other byte becomes "%" and two lower-case hex digits. Among them are
//     all bytes outside ASCII (some systems normalise Unicode), "~" (Windows
//     invents names such as PROGRA~1), and "@", which starts the names of
//     generations and of the store's own folder;
//   - so do a "." at either end (hidden on Unix, dropped on Windows) and the first
//     character of a name that Windows reserves for a device ("con", "nul.txt").
//
// An escaped name longer than pieceLen goes on in a folder inside: all pieces
// but the last end with "+", which no escaped name does, and all but the first
// start with "_", so that no piece is hidden or reserved.
//
// The rules for names are those of Microsoft, "Naming Files, Paths, and
// Namespaces".
const pieceLen = 140 // eCryptfs allows 143, everything else more

const hexDigits = "0123456789abcdef"

// escapeSegment returns the portable name of one segment, of any length.
func escapeSegment(seg string) string {
	plain := true
	for i := 0; i < len(seg) && plain; i++ {
		plain = isPlain(seg[i])
	}
	if plain && seg[0] != '.' && seg[len(seg)-1] != '.' && !isDevice(seg) {
		return seg
	}
	device := isDevice(seg)
	b := make([]byte, 0, 2*len(seg))
	for i := 0; i < len(seg); i++ {
		c := seg[i]
		edge := c == '.' && (i == 0 || i == len(seg)-1)
		switch {
		case 'A' <= c && c <= 'Z':
			b = append(b, '+', c-'A'+'a')
		case isPlain(c) && !edge && !(device && i == 0):
			b = append(b, c)
		default:
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// isDevice says whether Windows takes the name, which is in lower case, for a device.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	switch stem {
	case "con", "prn", "aux", "nul":
		return true
	}
	numbered := strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")
	return numbered && len(stem) == 4 && '0' <= stem[3] && stem[3] <= '9'
}

// unescapeSegment is the inverse of escapeSegment; false for a name that it
// would not have made, which is a stranger's.
func unescapeSegment(name string) (string, bool) {
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case isPlain(c):
			b = append(b, c)
		case c == '+' && i+1 < len(name) && 'a' <= name[i+1] && name[i+1] <= 'z':
			b = append(b, name[i+1]-'a'+'A')
			i++
		case c == '%' && i+2 < len(name):
			high, low := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			b = append(b, byte(high<<4|low))
			i += 2
		default:
			return "", false
		}
	}
	seg := string(b)
	if seg == "" || escapeSegment(seg) != name {
		return "", false
	}
	return seg, true
}

// segmentPieces returns the folder names of one segment, from the outside in.
func segmentPieces(seg string) []string {
	name := escapeSegment(seg)
	if len(name) <= pieceLen {
		return []string{name}
	}
	var pieces []string
	for first := true; name != ""; first = false {
		n := min(pieceLen, len(name))
		piece := name[:n]
		if !first {
			piece = "_" + piece
		}
		if name = name[n:]; name != "" {
			piece += "+"
		}
		pieces = append(pieces, piece)
	}
	return pieces
}

// continues says whether the folder of this name holds the rest of a segment,
// and returns the escaped text that it adds to what came before.
func continues(name string, first bool) (text string, more, ok bool) {
	text, more = strings.CutSuffix(name, "+")
	if !first {
		if text, ok = strings.CutPrefix(text, "_"); !ok {
			return "", false, false
		}
	}
	return text, more, !more || len(text) == pieceLen
}

// keyPieces returns the folder names of key below the store's directory.
func keyPieces(key persist.Key) []string {
	var pieces []string
	for seg := range strings.SplitSeq(string(key), "/") {
		pieces = append(pieces, segmentPieces(seg)...)
	}
	return pieces
}

// keyPath returns the folder of key.
func keyPath(dir string, key persist.Key) string {
	if key == "" {
		return dir
	}
	return filepath.Join(append([]string{dir}, keyPieces(key)...)...)
}
