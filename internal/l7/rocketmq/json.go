package rocketmq

import "unicode/utf8"

// maxNesting bounds values inside a header's object; there is one level.
const maxNesting = 8

// object gives f the names and the raw values of the object b; false if b is
// not one, to its end. Names with escapes do not occur.
func object(b []byte, f func(k, v []byte)) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return true
	}
	for i < len(b) {
		end := value(b, i, 0)
		if end < 0 || b[i] != '"' || end-i < 2 {
			return false
		}
		k := b[i+1 : end-1]
		if i = space(b, end); i >= len(b) || b[i] != ':' {
			return false
		}
		i = space(b, i+1)
		if end = value(b, i, 0); end < 0 {
			return false
		}
		f(k, b[i:end])
		i = space(b, end)
		switch {
		case i >= len(b):
			return false
		case b[i] == '}':
			return true
		case b[i] != ',':
			return false
		}
		i = space(b, i+1)
	}
	return false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// value is the end of the value at b[i:], or -1.
func value(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxNesting {
		return -1
	}
	switch b[i] {
	case '"':
		for i++; i < len(b); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				return i + 1
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

// unquote is the text of a JSON string; b itself where nothing is escaped.
func unquote(b []byte) []byte {
	if len(b) < 2 || b[0] != '"' {
		if string(b) == "null" {
			return nil
		}
		return b
	}
	b = b[1 : len(b)-1]
	i := 0
	for i < len(b) && b[i] != '\\' {
		i++
	}
	if i == len(b) {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for ; i < len(b); i++ {
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
