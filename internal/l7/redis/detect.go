package redis

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// detect implements Protocol.Detect. Inline commands and +OK, which others have
// too, are no evidence.
func detect(head []byte) l7.Verdict {
	if len(head) == 0 {
		return l7.No
	}
	switch head[0] {
	case '*':
		if v := confirmation(head); v != l7.No {
			return v
		}
		if v := command(head); v != l7.No {
			return v
		}
		return aggregate(head)
	case '%', '~', '>', '|':
		return aggregate(head)
	case '$':
		// The string must end where it says.
		v, next := number(head, 0)
		switch {
		case next < 0 || v > 1<<20:
			return l7.No
		case next == 0:
			return l7.More
		case v < 0:
			return only(head, next)
		case next+int(v)+2 > len(head):
			return l7.More
		case string(head[next+int(v):next+int(v)+2]) == "\r\n":
			return l7.Response
		}
	case ':':
		for i, c := range head[1:] {
			switch {
			case c >= '0' && c <= '9' && i < 20, c == '-' && i == 0:
			case c == '\r' && i > 0:
				if len(head) < i+3 {
					return l7.More
				}
				if head[i+2] == '\n' {
					return l7.Response
				}
				return l7.No
			default:
				return l7.No
			}
		}
		return l7.More
	case '+', '-':
		for _, s := range certain {
			if n := min(len(s), len(head)); head[0] == s[0] && string(head[:n]) == s[:n] {
				if n == len(s) {
					return l7.Response
				}
				return l7.More
			}
		}
	}
	return l7.No
}

// confirmation: what a server says to SUBSCRIBE starts like the command in
// small letters; its third element is a number.
func confirmation(b []byte) l7.Verdict {
	const first = "*3\r\n$"
	if len(b) < len(first)+8 || string(b[:len(first)]) != first {
		return l7.No
	}
	var p parser
	word, next, ok := p.text(b, len(first)-1)
	if !ok || len(word) < 9 || string(word[len(word)-9:]) != "subscribe" {
		return l7.No
	}
	v, at := number(b, min(next, len(b)-1))
	switch {
	case next >= len(b) || at == 0:
		return l7.More
	case at < 0:
		return l7.No
	case v < 0: // no channel is left
		next = at
	default:
		next = at + int(v) + 2
	}
	switch {
	case next >= len(b):
		return l7.More
	case b[next] == ':':
		return l7.Response
	}
	return l7.No
}

// certain are simple strings and errors that nobody but Redis sends.
var certain = []string{"+PONG\r\n", "+QUEUED\r\n", "+OK\r\n+OK\r\n", "+OK\r\n$", "+OK\r\n*", "+OK\r\n:", "-WRONGTYPE ", "-NOAUTH ", "-MOVED ", "-ASK ", "-LOADING ", "-WRONGPASS ", "-READONLY "}

// only: $-1 is believed if nothing else follows it.
func only(head []byte, next int) l7.Verdict {
	if len(head) == next {
		return l7.Response
	}
	return l7.No
}

// command: "*2\r\n$3\r\nGET\r\n".
func command(b []byte) l7.Verdict {
	if b[0] != '*' {
		return l7.No
	}
	v, next := number(b, 0)
	switch {
	case next < 0 || next > 0 && (v < 1 || v > 1<<24):
		return l7.No
	case next == 0 || next == len(b):
		return l7.More
	case b[next] != '$':
		return l7.No
	}
	v, i := number(b, next)
	switch {
	case i < 0 || i > 0 && (v < 1 || v > maxWord):
		return l7.No
	case i == 0:
		return l7.More
	}
	word := b[i:min(len(b), i+int(v))]
	for k, c := range word {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (k == 0 || (c < '0' || c > '9') && c != '.' && c != '-' && c != '_') {
			return l7.No
		}
	}
	end := i + int(v)
	if n := min(len(b)-end, 2); n > 0 && !bytes.Equal(b[end:end+n], crlf[:n]) {
		return l7.No
	}
	if len(b) < end+2 {
		return l7.More
	}
	// The answer to a command that lists names looks the same: a command has its
	// name in one case, and is one that exists.
	if !known(word) {
		return l7.Either
	}
	return l7.Request
}

// known: a command's name, in capitals or in small letters. Modules' commands
// have a dot.
func known(word []byte) bool {
	if k := bytes.IndexByte(word, '.'); k > 0 && k < len(word)-1 {
		return true
	}
	var up [maxWord]byte
	small, big := false, false
	for i, c := range word {
		small = small || c >= 'a'
		big = big || c >= 'A' && c <= 'Z'
		if c >= 'a' {
			c &^= 0x20
		}
		up[i] = c
	}
	_, ok := commands[string(up[:len(word)])]
	return ok && !(small && big && word[0] >= 'a')
}

// aggregate: an array, map or push whose first element is well-formed.
func aggregate(b []byte) l7.Verdict {
	v, next := number(b, 0)
	switch {
	case next < 0 || v < 0 || next > 0 && v == 0 && len(b) > next:
		return l7.No
	case next == 0:
		return l7.More
	case v == 0:
		return l7.Response
	case next == len(b):
		return l7.More
	}
	w, i := number(b, next)
	switch {
	case i < 0:
		return l7.No
	case i == 0:
		return l7.More
	case b[next] == '$' && w >= 0:
		end := i + int(w)
		if len(b) >= end+2 && string(b[end:end+2]) != "\r\n" {
			return l7.No
		}
		if len(b) < end+2 && len(b) < 1024 {
			return l7.More
		}
	}
	return l7.Response
}

// reply is what an answer may start with on a connection known to be Redis's.
func reply(b []byte) l7.Verdict {
	_, next := number(b, 0)
	switch {
	case next < 0:
		return l7.No
	case next == 0:
		return l7.More
	}
	return l7.Response
}
