package rocketmq

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// command is a header.
type command struct {
	code, flag, opaque int64
	version            int64
	remark             []byte
	b                  []byte  // the header
	fields             []field // extension fields; of JSON, raw
	json               bool
}

// field is an extension field: where its name and its value lie in the header,
// which maxHeader bounds. (Slices would be pointers to write.)
type field struct{ k, kn, v, vn uint16 }

// in gives the field of the header b.
func (f field) in(b []byte) (k, v []byte) { return b[f.k:][:f.kn], b[f.v:][:f.vn] }

// maxFields bounds the fields that are looked at: messages have 15.
const maxFields = 64

// readHead reads the lengths: of all, and of the header with its kind on top.
func readHead(b []byte) (total, header int, kind byte, ok bool) {
	c := l7.NewCursor(b)
	size, h := c.U32(), c.U32()
	kind, header = byte(h>>24), int(h&0xffffff)
	if len(b) >= 4 && (size < 8 || size > maxFrame) {
		return 0, 0, 0, false
	}
	if len(b) >= 8 && (kind > 1 || header+4 > int(size) || header < 2 || header > maxHeader) {
		return 0, 0, 0, false
	}
	return int(size) + 4, header, kind, true
}

func detect(b []byte) l7.Verdict {
	_, header, kind, ok := readHead(b)
	switch {
	case !ok:
		return l7.No
	case len(b) > 8 && kind == 0 && b[8] != '{':
		return l7.No
	case len(b) < 8 || len(b) < 8+min(header, 1<<10):
		return l7.More
	}
	var cmd command
	ok = cmd.read(kind, b[8:min(len(b), 8+header)])
	switch {
	case !ok || cmd.flag > 3 || cmd.flag < 0 || cmd.code < 0 || cmd.code > 1<<15:
		return l7.No
	case cmd.flag&flagResponse != 0:
		return l7.Response
	}
	return l7.Request
}

// read reads a header; the memory of x.fields is used.
func (x *command) read(kind byte, b []byte) bool {
	x.b, x.json = b, kind == 0
	if x.json {
		return x.readJSON(b)
	}
	return x.readBinary(b)
}

// readBinary reads RocketMQ's own form,
// https://github.com/apache/rocketmq/blob/develop/remoting/src/main/java/org/apache/rocketmq/remoting/protocol/RocketMQSerializable.java
func (x *command) readBinary(b []byte) bool {
	c := l7.NewCursor(b)
	x.code = int64(c.U16())
	language := c.U8()
	x.version = int64(c.U16())
	x.opaque = int64(int32(c.U32()))
	x.flag = int64(int32(c.U32()))
	x.remark = c.Take(int(c.U32()))
	e := l7.NewCursor(c.Take(int(c.U32())))
	if c.Short() || c.Len() != 0 || language > 20 {
		return false
	}
	ext := x.fields[:0]
	for e.Len() > 0 && len(ext) < maxFields {
		k := e.Take(int(e.U16()))
		key := len(b) - e.Len() - len(k)
		v := e.Take(int(e.U32()))
		if e.Short() {
			break
		}
		// The fields are the end of the header.
		ext = append(ext, field{uint16(key), uint16(len(k)), uint16(len(b) - e.Len() - len(v)), uint16(len(v))})
	}
	x.fields = ext
	return true
}

// What every client and broker of Java says of itself, and nobody asks for: a fifth
// of a header's members.
const (
	javaLanguage      = `"language":"JAVA",`
	javaSerialization = `"serializeTypeCurrentRPC":"JSON",`
)

// readJSON reads a header in JSON: a flat object, and extFields of texts in it.
func (x *command) readJSON(b []byte) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	seen := 0
	w := members{b: b, i: i + 1} // not of the loop: it would be copied each time
	for {
		w.skip(javaLanguage)
		w.skip(javaSerialization)
		k, ok := w.key()
		if !ok {
			return seen == 3 && w.end()
		}
		if w.i < len(b) && b[w.i] == '{' && string(k) == "extFields" {
			if x.fields, ok = w.fields(x.fields); !ok {
				return false
			}
			continue
		}
		v, ok := w.value()
		if !ok {
			return false
		}
		var to *int64
		switch string(k) {
		case "code":
			to = &x.code
		case "flag":
			to = &x.flag
		case "version":
			if n, ok := number(v); ok {
				x.version = n
			}
			continue
		case "opaque":
			to = &x.opaque
		case "remark":
			x.remark = v
			continue
		default:
			continue
		}
		if n, ok := number(v); ok {
			*to = n
			seen++
		}
	}
}

// number reads a decimal number.
func number(b []byte) (n int64, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// Find is where a command of side starts.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+9 <= len(b); i++ {
		if b[i] > maxFrame>>24 || b[i+4] > 1 {
			continue
		}
		v := detect(b[i:])
		if v == l7.Request && side == l7.Client || v == l7.Response && side == l7.Server || v == l7.More && i == 0 {
			return i
		}
	}
	return -1
}
