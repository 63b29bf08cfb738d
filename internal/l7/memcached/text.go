package memcached

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// line is the line at the front of b, and its length with the end of line. 0:
// it goes on.
func line(b []byte) (text []byte, n int) {
	i := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
	if i < 0 {
		return nil, 0
	}
	text = b[:i]
	if i > 0 && text[i-1] == '\r' {
		text = text[:i-1]
	}
	return text, i + 1
}

// word is the next word of s, and what is behind it.
func word(s []byte) (w, rest []byte) {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	i := bytes.IndexByte(s, ' ')
	if i < 0 {
		return s, nil
	}
	return s[:i], s[i+1:]
}

// number is a decimal number of at most ten digits, or -1.
func number(b []byte) int {
	if len(b) == 0 || len(b) > 10 {
		return -1
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// shape is what a command looks like behind its name.
type shape uint8

const (
	shapeNone  shape = iota
	shapeStore       // key flags exptime bytes [cas] [noreply], and a block
	shapeKeys        // key...
	shapeTouch       // exptime key...
	shapeKey         // key [argument] [noreply]
	shapeMeta        // key flag...
	shapeBlock       // key bytes flag..., and a block
	shapeBare        // no key: arguments, [noreply]
	shapeQuit        // nothing, and nothing answers
)

// lookup is the constant for a command's name.
func lookup(w []byte) (string, shape) {
	switch string(w) {
	case "get":
		return "get", shapeKeys
	case "set":
		return "set", shapeStore
	case "gets":
		return "gets", shapeKeys
	case "add":
		return "add", shapeStore
	case "replace":
		return "replace", shapeStore
	case "append":
		return "append", shapeStore
	case "prepend":
		return "prepend", shapeStore
	case "cas":
		return "cas", shapeStore
	case "gat":
		return "gat", shapeTouch
	case "gats":
		return "gats", shapeTouch
	case "delete":
		return "delete", shapeKey
	case "incr":
		return "incr", shapeKey
	case "decr":
		return "decr", shapeKey
	case "touch":
		return "touch", shapeKey
	case "mg":
		return "mg", shapeMeta
	case "ms":
		return "ms", shapeBlock
	case "md":
		return "md", shapeMeta
	case "ma":
		return "ma", shapeMeta
	case "me":
		return "me", shapeKey
	case "mn":
		return "mn", shapeBare
	case "stats":
		return "stats", shapeBare
	case "flush_all":
		return "flush_all", shapeBare
	case "version":
		return "version", shapeBare
	case "verbosity":
		return "verbosity", shapeBare
	case "cache_memlimit":
		return "cache_memlimit", shapeBare
	case "lru":
		return "lru", shapeBare
	case "lru_crawler":
		return "lru_crawler", shapeBare
	case "slabs":
		return "slabs", shapeBare
	case "shutdown":
		return "shutdown", shapeQuit
	case "quit":
		return "quit", shapeQuit
	}
	return "", shapeNone
}

// streamMN is the Stream of mn, whose answer nothing else has.
const streamMN = 1 << 62

// command reads a line of the client, and the block that belongs to it.
func (p *parser) command(w l7.Window, m *l7.Message) (int, error) {
	text, n := line(w.B)
	if n == 0 {
		if len(w.B) >= maxLine || !printable(w.B) {
			return 0, l7.ErrLost
		}
		return 0, l7.ErrMore
	}
	name, rest := word(text)
	op, sh := lookup(name)
	key, args := word(rest)
	m.Type, m.Op = l7.TypeRequest, op
	block := -1
	switch sh {
	case shapeNone:
		// The server answers ERROR, so it is a request, if it is text at all.
		if len(name) == 0 || len(name) > 24 || !printable(text) {
			return 0, l7.ErrLost
		}
		return n, nil
	case shapeStore:
		_, args = word(args) // flags
		_, args = word(args) // expiry
		var size []byte
		size, args = word(args)
		if block = number(size); block < 0 || block > maxValue {
			m.Target = p.text(op, key, false, m)
			return n, nil // an error, and no block
		}
		m.Target = p.text(op, key, true, m)
	case shapeBlock:
		var size []byte
		size, args = word(args)
		if block = number(size); block < 0 || block > maxValue {
			return n, nil
		}
		m.Target = p.text(op, key, true, m)
		p.meta(op, args, m)
	case shapeMeta:
		m.Target = p.text(op, key, false, m)
		p.meta(op, args, m)
	case shapeTouch:
		rest = args
		fallthrough
	case shapeKeys:
		m.Target = p.text(op, rest, false, m)
		keys := 0
		for len(rest) > 0 {
			if key, rest = word(rest); len(key) > 0 {
				keys++
			}
		}
		if keys > 1 {
			m.AddInt("db.operation.batch.size", int64(keys))
		}
	case shapeKey:
		m.Target = p.text(op, key, false, m)
	case shapeBare:
		m.Target = p.text(op, rest, false, m)
		if op == "mn" {
			m.Stream = streamMN
		}
	case shapeQuit:
		m.Type, m.Target = l7.TypeOneWay, op
	}
	if sh != shapeMeta && sh != shapeBlock && noreply(args) {
		m.Type = l7.TypeOneWay
	}
	if block >= 0 {
		n += block + 2
	}
	return n, nil
}

// text is a command as it may be shown: what it stores is a question mark.
func (p *parser) text(op string, keys []byte, value bool, m *l7.Message) string {
	keys = bytes.TrimRight(keys, " ")
	if len(keys) > maxShown {
		keys = keys[:max(bytes.LastIndexByte(keys[:maxShown], ' '), 0)]
	}
	switch {
	case len(keys) == 0:
		return op
	case value:
		return m.Text.Join(op, " ", l7.View(keys), " ?")
	}
	return m.Text.Join(op, " ", l7.View(keys))
}

func noreply(args []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(args, " "), []byte("noreply"))
}

// meta reads the flags of a meta command. With q some answers are left out;
// which one an answer is for, only an opaque can tell.
func (p *parser) meta(op string, flags []byte, m *l7.Message) {
	quiet := false
	var opaque []byte
	for len(flags) > 0 {
		var f []byte
		if f, flags = word(flags); len(f) == 0 {
			continue
		}
		switch f[0] {
		case 'q':
			quiet = true
		case 'O':
			opaque = f[1:]
		}
	}
	m.Stream = hash(opaque)
	switch {
	case quiet && opaque == nil:
		m.Type = l7.TypeOneWay
	case quiet:
		m.Silent = true
	}
}

// hash makes an opaque token a Stream; none is 0.
func hash(b []byte) uint64 {
	if b == nil {
		return 0
	}
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h>>2 | 1<<61
}

// answer reads a line of the server, and the block behind it.
func (p *parser) answer(w l7.Window, m *l7.Message) (int, error) {
	text, n := line(w.B)
	if n == 0 {
		if len(w.B) >= maxLine || !printable(w.B) {
			return 0, l7.ErrLost
		}
		return 0, l7.ErrMore
	}
	name, rest := word(text)
	m.Status = l7.StatusOK
	more := false
	switch string(name) {
	case "VALUE": // key flags bytes [cas]
		_, args := word(rest)
		_, args = word(args)
		size, _ := word(args)
		k := number(size)
		if k < 0 || k > maxValue {
			return 0, l7.ErrLost
		}
		n += k + 2
		if p.open {
			return n, l7.ErrSkip
		}
		m.Code, more = "VALUE", true
	case "STAT", "ITEM", "CONFIG":
		if p.open {
			return n, l7.ErrSkip
		}
		m.Code, more = "STAT", true
	case "END":
		if !p.open {
			m.Code = "END"
		}
	case "VA": // bytes flag...
		size, flags := word(rest)
		k := number(size)
		if k < 0 || k > maxValue {
			return 0, l7.ErrLost
		}
		n += k + 2
		m.Code, m.Stream = "VA", hash(opaque(flags))
	case "HD":
		m.Code, m.Stream = "HD", hash(opaque(rest))
	case "EN":
		m.Code, m.Stream = "EN", hash(opaque(rest))
	case "NF":
		m.Code, m.Stream = "NF", hash(opaque(rest))
	case "NS":
		m.Code, m.Stream = "NS", hash(opaque(rest))
	case "EX":
		m.Code, m.Stream = "EX", hash(opaque(rest))
	case "MN":
		m.Code, m.Stream = "MN", streamMN
	case "STORED":
		m.Code = "STORED"
	case "NOT_STORED":
		m.Code = "NOT_STORED"
	case "EXISTS":
		m.Code = "EXISTS"
	case "NOT_FOUND":
		m.Code = "NOT_FOUND"
	case "DELETED":
		m.Code = "DELETED"
	case "TOUCHED":
		m.Code = "TOUCHED"
	case "OK", "RESET", "BUSY", "VERSION", "ME":
		m.Code = m.Text.Copy(name)
	case "ERROR":
		m.Code, m.Status = "ERROR", l7.StatusClientError
	case "CLIENT_ERROR":
		m.Code, m.Status = "CLIENT_ERROR", l7.StatusClientError
	case "SERVER_ERROR":
		m.Code, m.Status = "SERVER_ERROR", l7.StatusServerError
	default:
		// The number that incr and decr give back; spaces may follow it.
		if len(name) == 0 || len(name) > 20 || len(bytes.TrimLeft(name, "0123456789")) > 0 {
			return 0, l7.ErrLost
		}
	}
	if m.Status.Failed() {
		m.Error = m.Text.Copy(rest[:min(len(rest), 256)])
	}
	p.part(m, more)
	return n, nil
}

// opaque is the token that a meta command was sent with.
func opaque(flags []byte) []byte {
	for len(flags) > 0 {
		var f []byte
		if f, flags = word(flags); len(f) > 0 && f[0] == 'O' {
			return f[1:]
		}
	}
	return nil
}

func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c == 0x7f) && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
