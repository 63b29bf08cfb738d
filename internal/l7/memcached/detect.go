package memcached

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

func detect(b []byte) l7.Verdict {
	if len(b) == 0 {
		return l7.More
	}
	switch c := b[0]; {
	case c == magicRequest || c == magicResponse:
		if len(b) < headLen {
			if len(b) > 5 && b[5] != 0 {
				return l7.No
			}
			return l7.More
		}
		h := readHead(b)
		if !h.strict() {
			return l7.No
		}
		if c == magicRequest {
			return l7.Request
		}
		return l7.Response
	case c >= 'a' && c <= 'z':
		return request(b)
	case c >= 'A' && c <= 'Z':
		return response(b)
	}
	return l7.No
}

// longest is longer than any first word.
const longest = 16

// first is the first word of b. ok is false while it may go on.
func first(b []byte) (w []byte, ok bool) {
	for i, c := range b {
		if c == ' ' || c == '\r' {
			return b[:i], true
		}
		if i > longest {
			return nil, true
		}
	}
	return b, false
}

// request: a command whose arguments are what they have to be.
func request(b []byte) l7.Verdict {
	w, ok := first(b)
	if !ok {
		return l7.More
	}
	_, sh := lookup(w)
	if sh == shapeNone {
		return l7.No
	}
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if len(b) > maxLine || !printable(b) {
			return l7.No
		}
		return l7.More
	}
	if b[i-1] != '\r' {
		return l7.No // allowed, but no client does
	}
	text := b[len(w) : i-1]
	if !printable(text) {
		return l7.No
	}
	key, args := word(text)
	good := len(key) > 0 && len(key) <= maxKey
	switch sh {
	case shapeStore:
		for range 3 {
			var f []byte
			f, args = word(args)
			if len(f) > 1 && f[0] == '-' {
				f = f[1:]
			}
			good = good && number(f) >= 0
		}
	case shapeKeys:
		for good && len(args) > 0 {
			var f []byte
			f, args = word(args)
			good = len(f) <= maxKey
		}
	case shapeTouch:
		good = good && number(key) >= 0 && len(args) > 0
	case shapeKey:
		f, _ := word(args)
		good = good && (len(args) == 0 && string(w) == "delete" || number(f) >= 0 || string(f) == "noreply")
	case shapeMeta, shapeBlock:
		if sh == shapeBlock {
			var f []byte
			f, args = word(args)
			good = good && number(f) >= 0
		}
		for good && len(args) > 0 {
			var f []byte
			f, args = word(args)
			good = len(f) == 0 || f[0] >= 'a' && f[0] <= 'z' || f[0] >= 'A' && f[0] <= 'Z'
		}
	case shapeBare:
		// Words that others use too: only those that nobody else has.
		good = string(w) == "mn" || string(w) == "flush_all" || string(w) == "cache_memlimit" || string(w) == "lru_crawler" ||
			string(w) == "stats" && len(text) == 0
	default:
		good = false
	}
	if !good {
		return l7.No
	}
	return l7.Request
}

// response: an answer that nothing else has.
func response(b []byte) l7.Verdict {
	w, ok := first(b)
	if !ok {
		return l7.More
	}
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if len(b) > 512 || !printable(b) {
			return l7.No
		}
		return l7.More
	}
	if b[i-1] != '\r' {
		return l7.No
	}
	text := b[len(w) : i-1]
	switch string(w) {
	case "STORED", "NOT_STORED", "NOT_FOUND", "DELETED", "TOUCHED", "EXISTS", "END":
		if len(text) == 0 {
			return l7.Response
		}
	case "CLIENT_ERROR", "SERVER_ERROR":
		return l7.Response
	case "VALUE":
		key, args := word(text)
		flags, args := word(args)
		size, _ := word(args)
		if len(key) > 0 && len(key) <= maxKey && number(flags) >= 0 && number(size) >= 0 {
			return l7.Response
		}
	case "STAT":
		if name, value := word(text); len(name) > 0 && len(value) > 0 && printable(text) {
			return l7.Response
		}
	case "VA":
		if size, _ := word(text); number(size) >= 0 {
			return l7.Response
		}
	case "HD", "EN", "MN":
		if len(text) == 0 {
			return l7.Response
		}
	}
	return l7.No
}
