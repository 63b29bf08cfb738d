package sqltext

import "bytes"

// maxIDs bounds the pairs that are looked at in one comment.
const maxIDs = 32

// ids looks for ids in a comment: key=value, key: value, key='value', with
// commas, semicolons or white space between the pairs. Values may be
// URL-encoded (https://google.github.io/sqlcommenter/spec/).
func (r *reader) ids(c []byte) {
	if len(c) < 6 || r.opt.Propagation == nil && r.opt.Extract == nil {
		return
	}
	for range maxIDs {
		i := bytes.IndexAny(c, ":=")
		if i < 0 {
			return
		}
		end := i
		for end > 0 && class[c[end-1]] == clSpace {
			end--
		}
		start := end
		for start > 0 && keyByte(c[start-1]) {
			start--
		}
		key, v := c[start:end], c[i+1:]
		for len(v) > 0 && class[v[0]] == clSpace {
			v = v[1:]
		}
		var value []byte
		if len(v) > 0 && (v[0] == '\'' || v[0] == '"') {
			q := bytes.IndexByte(v[1:], v[0])
			if q < 0 {
				return // cut: half an id is none
			}
			value, c = v[1:1+q], v[2+q:]
		} else {
			j := 0
			for j < len(v) && v[j] != ',' && v[j] != ';' && class[v[j]] != clSpace {
				j++
			}
			value, c = v[:j], v[j:]
		}
		if len(key) > 0 && len(value) > 0 {
			r.id(key, value)
		}
	}
}

// id gives one pair to those who know ids.
func (r *reader) id(key, value []byte) {
	if bytes.IndexByte(value, '%') < 0 {
		r.opt.Header(r.m, key, value)
		return
	}
	var plain [maxEncoded]byte
	if len(value) <= len(plain) {
		r.opt.Header(r.m, key, plain[:unescape(plain[:], value)])
	}
}

// maxEncoded bounds an encoded value: the longest id, sw8, has 1 KiB.
const maxEncoded = 1024

func keyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// unescape writes v into dst with %XX resolved, and returns the length. dst is
// at least as long as v.
func unescape(dst, v []byte) int {
	n := 0
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c == '%' && i+2 < len(v) {
			if h, l := hex(v[i+1]), hex(v[i+2]); h >= 0 && l >= 0 {
				c = byte(h<<4 | l)
				i += 2
			}
		}
		dst[n] = c
		n++
	}
	return n
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
