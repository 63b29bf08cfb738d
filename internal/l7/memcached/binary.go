package memcached

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

const (
	magicRequest  = 0x80
	magicResponse = 0x81
	headLen       = 24
)

// opcode is a binary command: the text command that does the same, the length
// of its extras, whether it has a key and a value, and whether it is answered
// only when that says something.
type opcode struct {
	name   string
	extras uint8
	key    bool
	value  bool
	quiet  bool
}

// opcodes by number (https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped).
var opcodes = [...]opcode{
	0x00: {"get", 0, true, false, false},
	0x01: {"set", 8, true, true, false},
	0x02: {"add", 8, true, true, false},
	0x03: {"replace", 8, true, true, false},
	0x04: {"delete", 0, true, false, false},
	0x05: {"incr", 20, true, false, false},
	0x06: {"decr", 20, true, false, false},
	0x07: {"quit", 0, false, false, false},
	0x08: {"flush_all", anyExtras, false, false, false},
	0x09: {"get", 0, true, false, true},
	0x0a: {"noop", 0, false, false, false},
	0x0b: {"version", 0, false, false, false},
	0x0c: {"get", 0, true, false, false},
	0x0d: {"get", 0, true, false, true},
	0x0e: {"append", 0, true, true, false},
	0x0f: {"prepend", 0, true, true, false},
	0x10: {"stats", 0, anyKey, false, false},
	0x11: {"set", 8, true, true, true},
	0x12: {"add", 8, true, true, true},
	0x13: {"replace", 8, true, true, true},
	0x14: {"delete", 0, true, false, true},
	0x15: {"incr", 20, true, false, true},
	0x16: {"decr", 20, true, false, true},
	0x17: {"quit", 0, false, false, true},
	0x18: {"flush_all", anyExtras, false, false, true},
	0x19: {"append", 0, true, true, true},
	0x1a: {"prepend", 0, true, true, true},
	0x1b: {"verbosity", 4, false, false, false},
	0x1c: {"touch", 4, true, false, false},
	0x1d: {"gat", 4, true, false, false},
	0x1e: {"gat", 4, true, false, true},
	0x20: {"sasl_list", 0, false, false, false},
	0x21: {"sasl_auth", 0, true, true, false},
	0x22: {"sasl_step", 0, true, true, false},
	0x23: {"gat", 4, true, false, false},
	0x24: {"gat", 4, true, false, true},
}

const (
	anyExtras = 0xff  // an expiry, or nothing
	anyKey    = false // stats: with a key or without; see valid
	opStats   = 0x10
)

type head struct {
	magic, op     byte
	key, extras   int
	typ           byte
	status        uint16 // of an answer; of a request the bucket
	body          int
	opaque        uint32
	unknown, fits bool
}

func readHead(b []byte) (h head) {
	h.magic, h.op = b[0], b[1]
	h.key, h.extras, h.typ = int(binary.BigEndian.Uint16(b[2:])), int(b[4]), b[5]
	h.status = binary.BigEndian.Uint16(b[6:])
	h.body = int(binary.BigEndian.Uint32(b[8:]))
	h.opaque = binary.BigEndian.Uint32(b[12:])
	h.unknown = int(h.op) >= len(opcodes) || opcodes[h.op].name == ""
	h.fits = h.typ == 0 && h.key <= maxKey && h.extras <= 20 && h.body >= h.key+h.extras && h.body <= maxValue
	return h
}

// strict: the lengths are those that the operation has.
func (h *head) strict() bool {
	if h.unknown || !h.fits {
		return false
	}
	o := &opcodes[h.op]
	if h.magic == magicResponse {
		// Flags with a value that was found; a number that was counted.
		return h.status <= 0x86 && (h.extras == 0 || h.extras == 4) && (h.status == 0 || h.body < 1024)
	}
	switch {
	case o.extras == anyExtras:
		if h.extras != 0 && h.extras != 4 {
			return false
		}
	case int(o.extras) != h.extras:
		return false
	}
	if h.op != opStats && o.key != (h.key > 0) {
		return false
	}
	return o.value || h.body == h.key+h.extras
}

func (p *parser) binary(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < headLen {
		return 0, l7.ErrMore
	}
	h := readHead(b)
	if !h.fits {
		return 0, l7.ErrLost
	}
	n := headLen + h.body
	// What an answer is for: several may be under way with one opaque.
	m.Stream = 1<<60 | uint64(h.op)<<32 | uint64(h.opaque)
	if side == l7.Server {
		return p.result(h, w, n, m)
	}
	m.Type = l7.TypeRequest
	if h.unknown {
		return n, nil // answered with an error
	}
	need := headLen + h.extras + h.key
	if len(b) < need && !w.End {
		return 0, l7.ErrMore
	}
	o := &opcodes[h.op]
	m.Op, m.Silent = o.name, o.quiet
	var key []byte
	if len(b) >= need {
		key = b[headLen+h.extras : need]
	}
	m.Target = p.text(o.name, key, o.value, m)
	if o.name == "quit" && o.quiet {
		m.Type, m.Silent = l7.TypeOneWay, false
	}
	return n, nil
}

// result reads a binary answer.
func (p *parser) result(h head, w l7.Window, n int, m *l7.Message) (int, error) {
	m.Code = statusCode(h.status)
	m.Status = l7.StatusOK
	if h.status != 0 {
		text := headLen + h.extras + h.key
		if end := min(n, text+256); len(w.B) < end && !w.End {
			return 0, l7.ErrMore
		}
		switch h.status {
		case 1, 2, 5: // not found, exists, not stored: answers, not errors
		case 0x81, 0x82, 0x83, 0x84, 0x85, 0x86:
			m.Status = l7.StatusServerError
		default:
			m.Status = l7.StatusClientError
		}
		if h.status == 0x81 { // no such command
			m.Status = l7.StatusClientError
		}
		if m.Status.Failed() && len(w.B) > text {
			if t := w.B[text:min(n, len(w.B), text+256)]; printable(t) {
				m.Error = m.Text.Copy(t)
			}
		}
	}
	// Statistics come one by one; the last has no name.
	p.part(m, h.op == opStats && h.key > 0 && h.status == 0)
	return n, nil
}

// statusCode is the decimal number of a binary status.
func statusCode(s uint16) string {
	names := [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	if int(s) < len(names) {
		return names[s]
	}
	switch s {
	case 0x20:
		return "32"
	case 0x21:
		return "33"
	case 0x81:
		return "129"
	case 0x82:
		return "130"
	case 0x83:
		return "131"
	case 0x84:
		return "132"
	case 0x85:
		return "133"
	case 0x86:
		return "134"
	}
	return "_OTHER"
}
