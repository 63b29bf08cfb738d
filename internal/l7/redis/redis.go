// Package redis reads RESP2 and RESP3, what Redis and its kin speak
// (https://redis.io/docs/latest/develop/reference/protocol-spec/).
package redis

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Redis.
var Protocol = &l7.Protocol{
	Name:      "redis",
	Transport: l7.TCP,
	Ports:     []uint16{6379, 26379, 6380, 7000, 7001},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{
		Op:     "db.operation.name",
		Target: "db.query.text",
		Code:   "db.response.status_code",
		Domain: "db.namespace",
	},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "redis"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

const (
	// maxBulk is the longest string that is believed: Redis takes 512 MB, and
	// more if configured.
	maxBulk = 1 << 32
	// maxElements is the most elements of one array that are believed: Redis
	// takes a million in a command, any number in an answer.
	maxElements = 1 << 31
	// maxLine bounds lines: inline commands have 64 KiB in Redis, simple strings
	// and errors no limit, but no use for more.
	maxLine = 32 << 10
	// maxWord bounds the command's name: the longest is GEORADIUSBYMEMBER_RO.
	maxWord = 64
)

type parser struct {
	opt *l7.Options
	// left is how many elements of the message in hand are still to come.
	left [2]uint64
	// subscribed: the server sends what nobody asked for in this moment.
	subscribed bool
	// extra confirmations of SUBSCRIBE are still to come.
	extra uint64
	// silent: CLIENT REPLY OFF; once: SKIP, for one more command.
	silent, once bool
	db           string // of the last SELECT
	last         *entry // the last command: the next is often the same
}

// Parse implements l7.Parser.
func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if p.left[side] > 0 {
		return p.rest(side, w)
	}
	if side == l7.Client {
		return p.command(w, m)
	}
	return p.reply(w, m)
}

// Resync implements l7.Resyncer.
func (p *parser) Resync(side l7.Side) {
	p.left[side] = 0
	if side == l7.Server {
		p.extra = 0
	} else {
		p.silent, p.once = false, false // CLIENT REPLY ON may be in the hole
	}
}

// Find implements l7.Finder: commands have a shape that data hardly has;
// answers are believed at the front only.
func (p *parser) Find(side l7.Side, b []byte) int {
	if side == l7.Server {
		if len(b) > 0 && reply(b) != l7.No {
			return 0
		}
		return -1
	}
	if len(b) > 0 && command(b) != l7.No {
		return 0
	}
	for i := 0; ; {
		k := bytes.Index(b[i:], nextCommand)
		if k < 0 {
			return -1
		}
		i += k + 2
		if v := command(b[i:]); v == l7.Request || v == l7.Either {
			return i
		}
	}
}

var (
	crlf        = []byte("\r\n")
	nextCommand = []byte("\r\n*")
)

// rest reads on in a message whose elements have not all been there.
func (p *parser) rest(side l7.Side, w l7.Window) (int, error) {
	n, left := skip(w.B, 0, p.left[side])
	switch {
	case left == bad:
		p.left[side] = 0
		return 0, l7.ErrLost
	case n == 0:
		return 0, l7.ErrMore
	}
	if p.left[side] = left; left == 0 {
		return n, l7.ErrEnd
	}
	return n, l7.ErrSkip
}

// bad is a count of elements that stands for what is no RESP.
const bad = ^uint64(0)

// skip goes over left elements from b[i:] on, however deep they are nested, as
// far as b has them. It returns where it stands and how many are left. A string
// that ends beyond b ends the walk behind it.
func skip(b []byte, i int, left uint64) (int, uint64) {
	for left > 0 && i < len(b) {
		v, next := number(b, i)
		if next < 0 {
			return i, bad
		}
		if next == 0 {
			return i, left
		}
		switch b[i] {
		case '$', '!', '=':
			left--
			if i = next; v >= 0 {
				i += int(v) + 2
			}
			continue
		case '*', '~', '>':
			left--
			if v > 0 {
				left += uint64(v)
			}
		case '%':
			left--
			if v > 0 {
				left += 2 * uint64(v)
			}
		case '|': // attributes stand before the element, and are none
			if v > 0 {
				left += 2 * uint64(v)
			}
		default:
			left--
		}
		if left > 8*maxElements {
			return i, bad
		}
		i = next
	}
	return i, left
}

// number reads the line at b[i:]: its value, if its type has one, and where the
// next line starts. next is 0 if the line is not whole, -1 if it is none.
func number(b []byte, i int) (v int64, next int) {
	switch b[i] {
	case '$', '!', '=', '*', '~', '>', '%', '|':
		j := i + 1
		for ; j < len(b) && j-i < 14; j++ {
			c := b[j] - '0'
			if c > 9 {
				break
			}
			v = v*10 + int64(c)
		}
		switch {
		case j == len(b):
			return 0, 0
		case b[j] == '\r' && j > i+1:
			if j+1 == len(b) {
				return 0, 0
			}
			if b[j+1] != '\n' || v > maxBulk || (b[i] != '$' && v > maxElements) {
				return 0, -1
			}
			return v, j + 2
		case b[j] == '-' && j == i+1: // $-1, *-1: nil
			if len(b) < i+5 {
				return 0, 0
			}
			if b[i+2] != '1' || b[i+3] != '\r' || b[i+4] != '\n' {
				return 0, -1
			}
			return -1, i + 5
		}
		return 0, -1
	case '+', '-', ':', '_', '#', ',', '(':
		k := bytes.IndexByte(b[i:], '\n')
		switch {
		case k < 0 && len(b)-i > maxLine:
			return 0, -1
		case k < 0:
			return 0, 0
		case b[i+k-1] != '\r':
			return 0, -1
		}
		return 0, i + k + 1
	}
	return 0, -1
}
