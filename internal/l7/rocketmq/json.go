package rocketmq

import (
	"bytes"
	"unicode/utf8"
)

// maxNesting bounds values inside a header's object; there is one level.
const maxNesting = 8

// member is the name and the raw value of the first member in b, which lies
// inside an object, and what comes after it and its comma. Names with escapes do
// not occur. At the object's end, ok is false and rest begins with its brace.
// The members of extFields go to ext.
func member(b []byte, ext *[]field) (k, v, rest []byte, ok bool) {
	i := space(b, 0)
	end := text(b, i)
	if end < 0 {
		return nil, nil, b[min(i, len(b)):], false
	}
	k = b[i+1 : end-1]
	if i = space(b, end); i >= len(b) || b[i] != ':' {
		return nil, nil, nil, false
	}
	i = space(b, i+1)
	if ext != nil && i < len(b) && b[i] == '{' && string(k) == "extFields" {
		in := b[i+1:]
		for {
			var f field
			if f.k, f.v, in, ok = member(in, nil); !ok {
				break
			}
			if len(*ext) < maxFields {
				*ext = append(*ext, f)
			}
		}
		if len(in) == 0 || in[0] != '}' {
			return nil, nil, nil, false
		}
		end = len(b) - len(in) + 1
	} else if end = text(b, i); end < 0 {
		if end = value(b, i, 0); end < 0 {
			return nil, nil, nil, false
		}
	}
	v = b[i:end]
	if i = space(b, end); i < len(b) && b[i] == ',' {
		return k, v, b[i+1:], true
	}
	if i >= len(b) || b[i] != '}' {
		return nil, nil, nil, false
	}
	return k, v, b[i:], true
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// text is the end of the text at b[i:], or -1.
func text(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	j := bytes.IndexByte(b[i+1:], '"')
	if j < 0 {
		return -1
	}
	if end := i + 1 + j; b[end-1] != '\\' {
		return end + 1
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
