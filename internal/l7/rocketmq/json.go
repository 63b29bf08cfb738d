package rocketmq

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxNesting bounds values inside a header's object; there is one level.
const maxNesting = 8

// members walks over the members of an object.
type members struct {
	b    []byte
	i    int
	name int // where the last name is
}

// key moves behind the name of the next member and its colon. Names with escapes
// do not occur. It is false at the object's end, and at what is none.
func (w *members) key() ([]byte, bool) {
	i := space(w.b, w.i)
	w.i = i
	end := text(w.b, i)
	if end < 0 {
		return nil, false
	}
	k := w.b[i+1 : end-1]
	if end = space(w.b, end); end >= len(w.b) || w.b[end] != ':' {
		return nil, false
	}
	w.i, w.name = space(w.b, end+1), i+1
	return k, true
}

// skip moves behind said, if that is what comes.
func (w *members) skip(said string) {
	if n := len(said); w.i+n <= len(w.b) && w.b[w.i+1] == said[1] && string(w.b[w.i:w.i+n]) == said {
		w.i += n
	}
}

// value moves behind the value, raw, and its comma.
func (w *members) value() ([]byte, bool) {
	i := w.i
	end := -1
	if i < len(w.b) {
		switch c := w.b[i]; {
		case c == '"':
			end = text(w.b, i)
		case c-'0' < 10: // a number, of a few digits
			for end = i + 1; end < len(w.b) && w.b[end]-'0' < 10; end++ {
			}
			if end < len(w.b) && (w.b[end] == ',' || w.b[end] == '}') {
				return w.b[i:end], w.next(end)
			}
			end = -1
		}
	}
	if end < 0 {
		if end = value(w.b, i, 0); end < 0 {
			w.i = len(w.b)
			return nil, false
		}
	}
	return w.b[i:end], w.next(end)
}

// next moves behind the comma at i, or to the end of the object.
func (w *members) next(i int) bool {
	if i = space(w.b, i); i < len(w.b) && w.b[i] == ',' {
		w.i = i + 1
		return true
	}
	w.i = i
	return w.end()
}

// end: the object ends here.
func (w *members) end() bool { return w.i < len(w.b) && w.b[w.i] == '}' }

// fields appends the members of the object that is the value here to ext, and
// moves behind it.
func (w *members) fields(ext []field) ([]field, bool) {
	w.i++
	for {
		k, ok := w.key()
		if !ok {
			break
		}
		at, value := w.name, w.i
		v, ok := w.value()
		if !ok {
			return ext, false
		}
		if len(ext) < maxFields {
			ext = append(ext, field{uint16(at), uint16(len(k)), uint16(value), uint16(len(v))})
		}
	}
	return ext, w.end() && w.next(w.i+1)
}

// space is where the white space at b[i:] ends. Other control characters do not
// occur outside of texts.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// text is the end of the text at b[i:], or -1.
func text(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	at := i + 1
	// Most are short: eight bytes are one look for a quote.
	const ones, tops, quotes = 0x0101010101010101, 0x8080808080808080, 0x2222222222222222
	for k := 0; k < 2 && at+8 <= len(b); k++ {
		x := binary.LittleEndian.Uint64(b[at:]) ^ quotes
		if hit := (x - ones) & ^x & tops; hit != 0 {
			if at += bits.TrailingZeros64(hit) / 8; b[at-1] != '\\' {
				return at + 1
			}
			return quoted(b, i, at)
		}
		at += 8
	}
	j := bytes.IndexByte(b[at:], '"')
	if j < 0 {
		return -1
	}
	return quoted(b, i, at+j)
}

// quoted is the end of the text at b[i:] whose first quote is at b[at], which may
// be escaped.
func quoted(b []byte, i, at int) int {
	if b[at-1] != '\\' || at == i+1 {
		return at + 1
	}
	return value(b, i, 0)
}

// value is the end of the value at b[i:], or -1.
func value(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxNesting {
		return -1
	}
	switch b[i] {
	case '"':
		start := i
		for i++; i < len(b); {
			j := bytes.IndexByte(b[i:], '"')
			if j < 0 {
				return -1
			}
			if i += j + 1; b[i-2] != '\\' || !escaped(b[start+1:i-1]) {
				return i
			}
		}
		return -1
	case '{', '[':
		open := depth
		for ; i < len(b); i++ {
			switch b[i] {
			case '"':
				end := value(b, i, 0)
				if end < 0 {
					return -1
				}
				i = end - 1
			case '{', '[':
				if open++; open > depth+maxNesting {
					return -1
				}
			case '}', ']':
				if open--; open == depth {
					return i + 1
				}
			}
		}
		return -1
	}
	start := i
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	if i == start || i == len(b) {
		return -1
	}
	return i
}

// escaped reports whether what follows b, the beginning of a text, is escaped: an
// odd number of backslashes is before it.
func escaped(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// trim is a raw value without its quotes; nothing for null.
func trim(b []byte) []byte {
	if len(b) < 2 || b[0] != '"' {
		if string(b) == "null" {
			return nil
		}
		return b
	}
	return b[1 : len(b)-1]
}

// unescape appends the text of a JSON string, without its quotes, to out.
func unescape(out, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			if i+4 >= len(b) {
				return out
			}
			r := rune(0)
			for _, c := range b[i+1 : i+5] {
				r <<= 4
				switch {
				case c >= '0' && c <= '9':
					r |= rune(c - '0')
				case c|0x20 >= 'a' && c|0x20 <= 'f':
					r |= rune(c|0x20-'a') + 10
				}
			}
			out = utf8.AppendRune(out, r)
			i += 4
		default:
			out = append(out, b[i])
		}
	}
	return out
}
