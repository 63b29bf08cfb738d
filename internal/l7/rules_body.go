package l7

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// Query shows the query of a URL: a=1&b=2.
func (x *Extract) Query(m *Message, query []byte) {
	if x != nil {
		x.params(m, x.by[m.side()][SourceQuery], query)
	}
}

// WantsBody reports whether rules look into the bodies of side's messages: if so,
// a parser waits for up to MaxBody bytes of each and shows them.
func (x *Extract) WantsBody(side Side) bool {
	if x == nil {
		return false
	}
	by := &x.by[side]
	return len(by[SourceForm])+len(by[SourceJSON])+len(by[SourceText]) > 0
}

// Body shows the first bytes of the body of an HTTP message; whole: that is all
// of it.
func (x *Extract) Body(m *Message, body []byte, whole bool) {
	if x == nil || len(body) == 0 {
		return
	}
	by := &x.by[m.side()]
	if len(by[SourceForm]) > 0 && body[0] != '{' && body[0] != '[' {
		form := body
		if !whole { // half a value is another one
			form = form[:bytes.LastIndexByte(form, '&')+1]
		}
		x.params(m, by[SourceForm], form)
	}
	for _, i := range by[SourceJSON] {
		if v := scalar(body, x.rules[i].Name, whole); v != nil {
			x.take(m, i, v, true)
		}
	}
	x.Message(m, body, whole)
}

// WantsText reports whether rules look into messages like m as they are on the
// wire.
func (x *Extract) WantsText(m *Message) bool { return len(x.by[m.side()][SourceText]) > 0 }

// Message shows the first bytes of a message as it is on the wire, of a protocol
// without bodies; whole: that is all of it.
func (x *Extract) Message(m *Message, b []byte, whole bool) {
	if len(b) > MaxBody {
		b, whole = b[:MaxBody], false
	}
	for _, i := range x.by[m.side()][SourceText] {
		x.take(m, i, b, whole)
	}
}

// scalar is the text, the number or the truth at path in b, nil if there is none.
func scalar(b []byte, path string, whole bool) []byte {
	if c := firstByte(b); c != '{' && c != '[' {
		return nil
	}
	v := gjson.GetBytes(b, path)
	if v.IsObject() || v.IsArray() || v.Raw == "" || v.Type == gjson.Null {
		return nil
	}
	// The end of what is cut may be the middle of a value.
	if end := v.Index + len(v.Raw); !whole && (v.Index == 0 || end >= len(b)) {
		return nil
	}
	if v.Type == gjson.String {
		if len(v.Raw) < 2 || v.Raw[len(v.Raw)-1] != '"' {
			return nil
		}
		return []byte(v.Str)
	}
	return []byte(v.Raw)
}

func firstByte(b []byte) byte {
	for _, c := range b {
		if c > ' ' {
			return c
		}
	}
	return 0
}

// params goes through a=1&b=2.
func (x *Extract) params(m *Message, rules []int, b []byte) {
	if len(rules) == 0 {
		return
	}
	for n := 0; len(b) > 0 && n < maxParams; n++ {
		var pair []byte
		pair, b, _ = bytes.Cut(b, ampersand)
		k, v, _ := bytes.Cut(pair, equals)
		for _, i := range rules {
			if x.rules[i].Name == View(k) {
				var plain [3 * MaxExtracted]byte
				if len(v) > len(plain) {
					x.rules[i].counts.TooLong.Add(1)
					continue
				}
				x.take(m, i, plain[:unescapeForm(plain[:], v)], true)
			}
		}
	}
}

var (
	ampersand = []byte("&")
	equals    = []byte("=")
)

// unescapeForm writes v into dst, with %XX and + resolved.
func unescapeForm(dst, v []byte) (n int) {
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(v):
			if h, l := hexDigit(v[i+1]), hexDigit(v[i+2]); h < 16 && l < 16 {
				c = h<<4 | l
				i += 2
			}
		}
		dst[n] = c
		n++
	}
	return n
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}
