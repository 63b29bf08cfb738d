package nats

import (
	"bytes"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// maxWord is the length of the longest operation: CONNECT.
const maxWord = 7

// line is a protocol line.
type line struct {
	op     op
	from   uint8
	n      int // with its CR LF
	args   [5][]byte
	nargs  int
	rest   []byte // what follows the word
	header int
	size   int // of the payload, with the headers
}

// read reads the line at the front of b. more: b is too short to tell.
func read(b []byte) (l line, ok, more bool) {
	word, i := b, 0
	for i < len(b) && i <= maxWord && b[i] != ' ' && b[i] != '\t' && b[i] != '\r' {
		i++
	}
	switch {
	case i > maxWord:
		return l, false, false
	case i < len(b):
		word = b[:i]
	default:
		for i := range ops {
			if o := ops[i].word; len(b) <= len(o) && strings.EqualFold(l7.View(b), o[:len(b)]) {
				return l, false, true
			}
		}
		return l, false, false
	}
	args := false
	for i := range ops {
		if o := ops[i].word; len(o) == len(word) && o[0]|0x20 == word[0]|0x20 && strings.EqualFold(l7.View(word), o) {
			l.op, l.from, args = ops[i].op, ops[i].from, ops[i].args
		}
	}
	if l.op == none {
		return l, false, false
	}
	end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
	if end < 0 {
		return l, false, len(b) < maxLine
	}
	if end == 0 || b[end-1] != '\r' {
		return l, false, false
	}
	l.n = end + 1
	l.rest = bytes.TrimSpace(b[len(word) : end-1])
	if args == (len(l.rest) == 0) {
		return l, false, false
	}
	switch l.op {
	case pub, hpub, msg, hmsg, sub, unsub:
		return l, l.split(), false
	}
	return l, true, false
}

// split takes the arguments apart, and checks that they are what the operation
// has.
func (l *line) split() bool {
	for b, i := l.rest, 0; i < len(b); {
		start := i
		for i < len(b) && b[i] != ' ' && b[i] != '\t' {
			i++
		}
		if l.nargs == len(l.args) {
			return false
		}
		l.args[l.nargs] = b[start:i]
		l.nargs++
		for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
			i++
		}
	}
	n, ok := l.nargs, true
	number := func(i int) (v int) {
		for _, c := range l.args[i] {
			if c < '0' || c > '9' || v > maxPayload {
				ok = false
				return 0
			}
			v = v*10 + int(c-'0')
		}
		ok = ok && v <= maxPayload
		return v
	}
	switch l.op {
	case pub:
		if n != 2 && n != 3 {
			return false
		}
		l.size = number(n - 1)
	case msg:
		if n != 3 && n != 4 {
			return false
		}
		l.size = number(n - 1)
	case hpub:
		if n != 3 && n != 4 {
			return false
		}
		l.header, l.size = number(n-2), number(n-1)
	case hmsg:
		if n != 4 && n != 5 {
			return false
		}
		l.header, l.size = number(n-2), number(n-1)
	case sub:
		if n != 2 && n != 3 {
			return false
		}
	case unsub:
		if n != 1 && n != 2 {
			return false
		}
	}
	return ok && l.header <= l.size
}

// reply is the subject that an answer shall be sent to.
func (l *line) reply() []byte {
	switch {
	case l.op == pub && l.nargs == 3, l.op == hpub && l.nargs == 4:
		return l.args[1]
	case l.op == msg && l.nargs == 4, l.op == hmsg && l.nargs == 5:
		return l.args[2]
	}
	return nil
}

func detect(b []byte) l7.Verdict {
	if len(b) < 4 {
		return l7.More
	}
	l, ok, more := read(b)
	switch {
	case more:
		if (l.op == info || l.op == connect) && !json(b) {
			return l7.No
		}
		return l7.More
	case !ok:
		return l7.No
	}
	switch l.op {
	case info, connect:
		if l.rest[0] != '{' {
			return l7.No
		}
	case unsub, sub, ping, pong, okay, errr:
		return l7.No // words that other protocols have too
	}
	if end := l.n + l.size; l.op != info && l.op != connect {
		if len(b) >= end+2 && (b[end] != '\r' || b[end+1] != '\n') {
			return l7.No
		}
		if l.header > 0 && !bytes.HasPrefix(b[l.n:], []byte("NATS/1.0")[:min(8, len(b)-l.n)]) {
			return l7.No
		}
	}
	if l.from == 1 {
		return l7.Request
	}
	return l7.Response
}

// json reports whether what follows the first word begins an object, as far as
// it is there.
func json(b []byte) bool {
	i := bytes.IndexAny(b, " \t")
	if i < 0 {
		return true
	}
	b = bytes.TrimLeft(b[i:], " \t")
	return len(b) == 0 || b[0] == '{'
}

// Find is the first line of side in b, at its start or after a line end.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i < len(b); {
		if l, ok, more := read(b[i:]); (ok && l.from>>side&1 == 1 && p.fits(&l, b[i:])) || (more && i == 0) {
			return i
		}
		j := bytes.Index(b[i:], []byte("\r\n"))
		if j < 0 {
			return -1
		}
		i += j + 2
	}
	return -1
}

// fits: after the payload comes a line end, as far as it is there.
func (p *parser) fits(l *line, b []byte) bool {
	switch l.op {
	case pub, hpub, msg, hmsg:
		end := l.n + l.size
		return end+2 > len(b) || (b[end] == '\r' && b[end+1] == '\n')
	}
	return true
}
