package mysql

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// detect implements Protocol.Detect.
func detect(b []byte) l7.Verdict {
	if len(b) < headerLen+1 {
		if len(b) >= 3 && packetLen(b) == 0 || len(b) >= 4 && b[3] > 2 {
			return l7.No
		}
		return l7.More
	}
	n := packetLen(b)
	if n == 0 {
		return l7.No
	}
	switch b[3] {
	case 0:
		if v := greeting(b); v != l7.No {
			return v
		}
		return command(b, n)
	case 1:
		if n >= 32 && n < 4096 {
			if len(b) < headerLen+32 {
				if caps := b[headerLen:]; len(caps) < 2 || caps[1]&(cap41>>8) != 0 {
					return l7.More
				}
			} else if login(b) && binary.LittleEndian.Uint32(b[headerLen+4:]) <= 1<<30 {
				return l7.Request
			}
		}
		return answer(b)
	case 2:
		if n >= 32 && len(b) >= headerLen+32 && login(b) { // after TLS
			return l7.Request
		}
	}
	return l7.No
}

// greeting: protocol 10 and a version in digits; or a server that refuses at
// once.
func greeting(b []byte) l7.Verdict {
	n := packetLen(b)
	switch {
	case b[4] == 0xff && n < 600:
		if len(b) < 8 {
			return l7.More
		}
		// 1040 too many connections, 1129 and 1130 host blocked or unknown.
		if code := binary.LittleEndian.Uint16(b[5:]); (code == 1040 || code == 1129 || code == 1130) && printable(b[7:min(len(b), 16)]) {
			return l7.Response
		}
		return l7.No
	case b[4] != 0x0a || n < 30 || n > 400:
		return l7.No
	}
	end := bytes.IndexByte(b[5:], 0)
	v := b[5:]
	if end >= 0 {
		v = v[:end]
	}
	if len(v) > 0 && (v[0] < '0' || v[0] > '9') || len(v) > 1 && v[1] != '.' && (v[1] < '0' || v[1] > '9') || !printable(v) || len(v) > 128 {
		return l7.No
	}
	switch {
	case end < 0:
		return l7.More
	case len(v) < 3 || bytes.IndexByte(v, '.') < 0:
		return l7.No
	}
	// After the thread id and 8 bytes of scramble comes a zero.
	if i := 5 + end + 1 + 4 + 8; i < len(b) {
		if b[i] != 0 {
			return l7.No
		}
		return l7.Response
	}
	return l7.More
}

// verbs that statements start with.
var verbs = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "SET", "SHOW", "BEGIN", "COMMIT", "ROLLBACK", "START", "USE",
	"CREATE", "DROP", "ALTER", "CALL", "REPLACE", "WITH", "EXPLAIN", "TRUNCATE", "LOCK", "UNLOCK", "DESC", "XA", "LOAD",
	"ANALYZE", "SAVEPOINT", "KILL", "GRANT", "FLUSH", "/*", "(SELECT", "--", "PREPARE", "EXECUTE"}

// command: a command of a connection whose beginning was not seen, by content.
func command(b []byte, n int) l7.Verdict {
	switch com := b[4]; com {
	case comQuery, comPrepare:
		text := b[5:min(len(b), headerLen+n)]
		if com == comQuery {
			if len(text) > 1 && text[1] == 1 {
				text = statement(text)
			} else if len(text) == 1 && text[0] < ' ' && n > 3 {
				return l7.More
			}
		}
		text = bytes.TrimLeft(text, " \t\r\n")
		if !printable(text[:min(len(text), 256)]) {
			return l7.No
		}
		for _, v := range verbs {
			k := min(len(v), len(text))
			if !strings.EqualFold(v[:k], l7.View(text[:k])) {
				continue
			}
			if k < len(v) {
				return l7.More
			}
			if c := byte(' '); k < len(text) {
				if c = text[k]; c|0x20 >= 'a' && c|0x20 <= 'z' && v != "/*" && v != "--" {
					continue
				}
			}
			return l7.Request
		}
	case comExecute: // id, flags, one iteration
		if n < 10 {
			return l7.No
		}
		if len(b) < headerLen+10 {
			return l7.More
		}
		if binary.LittleEndian.Uint32(b[5:]) < 1<<24 && b[5]|b[6]|b[7] != 0 && b[9] <= 0x0f && binary.LittleEndian.Uint32(b[10:]) == 1 {
			return l7.Request
		}
	case comPing:
		if n == 1 && len(b) == headerLen+1 {
			return l7.Request
		}
	}
	return l7.No
}

// knownCommand: on a connection known to be MySQL's, b starts like a command.
func knownCommand(b []byte) bool {
	n, com := packetLen(b), b[4]
	if n == 0 || int(com) >= len(names) || names[com] == "" {
		return false
	}
	switch com {
	case comQuery:
		text := statement(b[5:min(len(b), headerLen+n)])
		return len(text) > 0 && printable(text[:min(len(text), 64)])
	case comPrepare:
		return printable(b[5:min(len(b), 5+64, headerLen+n)])
	case comExecute:
		return n >= 10
	case comClose, comReset:
		return n == 5
	case comQuit, comPing, comStatistics, 0x1f:
		return n == 1
	}
	return n < 512
}

// answer: the first packet of an answer to a command.
func answer(b []byte) l7.Verdict {
	n := packetLen(b)
	if b[3] != 1 || n == 0 {
		return l7.No
	}
	body := b[headerLen:min(len(b), headerLen+n)]
	short := len(body) < n
	switch body[0] {
	case 0x00: // OK: two numbers, status, warnings; or a prepared statement
		if n < 7 || n > 4096 {
			return l7.No
		}
		if len(body) < min(n, 10) {
			return l7.More
		}
		_, status := okPacket(body)
		if n == 12 && body[9] == 0 || status&^0x7fff == 0 && status != 0 && n < 12 {
			return l7.Response
		}
		return l7.No
	case 0xff: // an error with an SQL state
		if len(body) < 9 && short {
			return l7.More
		}
		if n >= 9 && body[3] == '#' && printable(body[3:9]) {
			return l7.Response
		}
		return l7.No
	case 0xfb, 0xfe:
		return l7.No
	}
	if n > 3 {
		return l7.No
	}
	// The number of columns, then the first of them, in the catalogue "def".
	next := b[min(len(b), headerLen+n):]
	const first = "\x02\x03def"
	if len(next) < 3+len(first) {
		return l7.More
	}
	if string(next[3:3+len(first)]) == first {
		return l7.Response
	}
	return l7.No
}

// opOf is the verb of a statement's text, which sqltext has written.
func opOf(text string) string {
	end := 0
	for end < len(text) && (text[end]|0x20 >= 'a' && text[end]|0x20 <= 'z') {
		end++
	}
	if end == 0 || end > 16 {
		return "EXECUTE"
	}
	return strings.ToUpper(text[:end])
}
