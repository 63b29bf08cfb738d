package postgresql

import (
	"bytes"
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

func detect(b []byte) l7.Verdict {
	if len(b) == 0 {
		return l7.More
	}
	if b[0] == 0 {
		return detectStartup(b)
	}
	if len(b) < tagged {
		if !frontend(b[0]) && !backend(b[0]) || len(b) > 1 && b[1] > maxMessage>>24 {
			return l7.No
		}
		return l7.More
	}
	if _, ok := length(b); !ok {
		return l7.No
	}
	f, s := l7.No, l7.No
	if frontend(b[0]) {
		f = strong(l7.Client, b)
	}
	if backend(b[0]) {
		s = strong(l7.Server, b)
	}
	switch {
	case f == l7.Request:
		return l7.Request
	case s == l7.Response:
		return l7.Response
	case f == l7.More || s == l7.More:
		return l7.More
	}
	return l7.No
}

func detectStartup(b []byte) l7.Verdict {
	if len(b) < 8 {
		if len(b) > 1 && b[1] != 0 {
			return l7.No
		}
		return l7.More
	}
	n, code := int(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint32(b[4:])
	switch code {
	case codeSSL, codeGSSENC:
		if n == 8 {
			return l7.Request
		}
		return l7.No
	case codeCancel:
		if n >= 16 && n <= 8+4+256 {
			return l7.Request
		}
		return l7.No
	}
	if code>>16 != major3 || code&0xffff > 9999 || n < 8+len("user")+2 || n > maxStartup {
		return l7.No
	}
	// Names and values, each with a zero behind it, the name of the user among
	// them.
	b = b[8:min(n, len(b))]
	for i, c := range b {
		if c != 0 && c < ' ' {
			return l7.No
		}
		if c == 0 && i > 0 && i+1 == len(b) && n == len(b)+8 && !bytes.HasSuffix(b, []byte{0, 0}) {
			return l7.No
		}
	}
	if bytes.HasPrefix(b, []byte("user\x00")) || bytes.Contains(b, []byte("\x00user\x00")) {
		return l7.Request
	}
	if len(b)+8 < n {
		return l7.More
	}
	return l7.No
}

// Find looks for a message of side that cannot well be anything else. At the
// front any message will do, if what follows it is one too.
func (p *parser) Find(side l7.Side, b []byte) int {
	want := l7.Request
	if side == l7.Server {
		want = l7.Response
	}
	for i := 0; i+tagged <= len(b); i++ {
		known := frontend(b[i])
		if side == l7.Server {
			known = backend(b[i])
		}
		if !known || b[i+1] > maxMessage>>24 {
			continue
		}
		if strong(side, b[i:]) == want {
			return i
		}
	}
	if side == l7.Client && len(b) > 4 && b[0] == 0 && detectStartup(b) == l7.Request {
		return 0
	}
	return -1
}

// strong: a message of side starts at b whose content agrees with its length.
// More: as far as can be seen.
func strong(side l7.Side, b []byte) l7.Verdict {
	n, ok := length(b)
	if !ok {
		return l7.No
	}
	whole := len(b) >= n
	v := b[tagged:min(n, len(b))]
	yes := l7.Request
	if side == l7.Server {
		yes = l7.Response
	}
	switch {
	case side == l7.Client:
		switch b[0] {
		case 'Q':
			return query(v, whole, yes)
		case 'P':
			return parse(v, whole, yes)
		case 'B':
			return bind(v, whole, yes)
		}
		return l7.No
	}
	switch b[0] {
	case 'Z':
		if n != 6 {
			return l7.No
		}
		if len(v) == 0 {
			return l7.More
		}
		if v[0] == 'I' || v[0] == 'T' || v[0] == 'E' {
			return yes
		}
	case 'E', 'N':
		return fields(v, whole, yes)
	case 'C':
		if n > maxTag {
			return l7.No
		}
		for i, c := range v {
			switch {
			case c == 0 && i > 2 && i == n-tagged-1 && whole:
				return yes
			case c != ' ' && (c < 'A' || c > 'Z') && (c < '0' || c > '9'):
				return l7.No
			}
		}
		if !whole {
			return l7.More
		}
	case 'R':
		if len(v) < 4 {
			return l7.More
		}
		// Authentication: a request for it has 8 bytes but for salts and SASL.
		switch code := binary.BigEndian.Uint32(v); {
		case code == 0 && n == 9, code == 3 && n == 9, code == 5 && n == 13, code == 7 && n == 9:
			return yes
		case code == 10 && n < 1024:
			if !whole {
				return l7.More
			}
			if bytes.HasPrefix(v[4:], []byte("SCRAM-")) && bytes.HasSuffix(v, []byte{0, 0}) {
				return yes
			}
		}
	case 'T':
		return columns(v, whole, yes)
	case 'D':
		return row(v, whole, yes)
	case '1', '2', '3', 'n':
		// Four bytes of length say little: what follows has to be a message too.
		if n != tagged {
			return l7.No
		}
		if len(b) < 2*tagged {
			return l7.More
		}
		if !backend(b[n]) {
			return l7.No
		}
		return strong(side, b[n:])
	case 't':
		if len(v) < 2 {
			return l7.More
		}
		if k := int(binary.BigEndian.Uint16(v)); n != tagged+2+4*k {
			return l7.No
		}
		if len(b) < n+tagged {
			return l7.More
		}
		if b[n] == 'T' || b[n] == 'n' {
			return strong(side, b[n:])
		}
	}
	return l7.No
}

// printable: c is in text that people write.
func printable(c byte) bool { return c >= ' ' && c != 0x7f || c == '\n' || c == '\r' || c == '\t' }

// query: text with a zero at its end, that starts like a statement.
func query(v []byte, whole bool, yes l7.Verdict) l7.Verdict {
	for i, c := range v {
		if c == 0 {
			if whole && i == len(v)-1 {
				return yes
			}
			return l7.No
		}
		if !printable(c) {
			return l7.No
		}
	}
	if whole {
		return l7.No // no zero
	}
	// A statement longer than what is here: words say what it is.
	if len(v) >= 64 {
		return yes
	}
	return l7.More
}

// parse: two texts, and as many types as they say.
func parse(v []byte, whole bool, yes l7.Verdict) l7.Verdict {
	c := l7.NewCursor(v)
	name := c.Until(0)
	if c.Short() {
		return short(v, whole, maxNameLen)
	}
	if len(name) > maxNameLen || !all(name) {
		return l7.No
	}
	text := c.Rest()
	stmt := c.Until(0)
	if c.Short() {
		if !all(text) || whole {
			return l7.No
		}
		if len(text) >= 64 {
			return yes
		}
		return l7.More
	}
	if !all(stmt) {
		return l7.No
	}
	if c.Len() < 2 {
		return more(whole)
	}
	k := int(c.U16())
	if whole && c.Len() != 4*k {
		return l7.No
	}
	return yes
}

// bind: two names, formats, values, formats.
func bind(v []byte, whole bool, yes l7.Verdict) l7.Verdict {
	c := l7.NewCursor(v)
	for range 2 {
		rest := c.Rest()
		name := c.Until(0)
		if c.Short() {
			return short(rest, whole, maxNameLen)
		}
		if len(name) > maxNameLen || !all(name) {
			return l7.No
		}
	}
	formats := func() bool {
		k := int(c.U16())
		for range k {
			if c.U16() > 1 || c.Short() {
				return false
			}
		}
		return true
	}
	if !formats() {
		if c.Short() {
			return more(whole)
		}
		return l7.No
	}
	k := int(c.U16())
	for range k {
		n := int32(c.U32())
		if n < -1 {
			return l7.No
		}
		if c.Skip(int(max(n, 0))); c.Short() {
			return more(whole)
		}
	}
	if !formats() || c.Short() {
		if c.Short() {
			return more(whole)
		}
		return l7.No
	}
	if !whole || c.Len() != 0 {
		return l7.No
	}
	return yes
}

// fields: of an error or a notice, each a letter and text, the severity first.
func fields(v []byte, whole bool, yes l7.Verdict) l7.Verdict {
	if len(v) < 2 {
		return more(whole)
	}
	if v[0] != 'S' || v[1] < 'A' {
		return l7.No
	}
	c := l7.NewCursor(v)
	for k := 0; ; k++ {
		f := c.U8()
		if c.Short() {
			return more(whole)
		}
		if f == 0 {
			if k >= 3 && c.Len() == 0 && whole {
				return yes
			}
			return l7.No
		}
		if f < 'A' || f > 'z' {
			return l7.No
		}
		rest := c.Rest()
		t := c.Until(0)
		if c.Short() {
			if !all(rest) {
				return l7.No
			}
			return more(whole)
		}
		if !all(t) {
			return l7.No
		}
	}
}

// columns: as many as it says, of a name and 18 bytes.
func columns(v []byte, whole bool, yes l7.Verdict) l7.Verdict {
	c := l7.NewCursor(v)
	k := int(c.U16())
	if c.Short() {
		return more(whole)
	}
	if k == 0 || k > 1664 { // PostgreSQL's limit of a row
		return l7.No
	}
	for i := range k {
		name := c.Until(0)
		if c.Short() {
			return more(whole)
		}
		if len(name) > maxNameLen || !all(name) {
			return l7.No
		}
		c.Skip(16)
		format := c.U16()
		if c.Short() {
			return more(whole)
		}
		if format > 1 {
			return l7.No
		}
		if !whole && i >= 2 {
			return yes
		}
	}
	if whole && c.Len() == 0 {
		return yes
	}
	return l7.No
}

// row: as many values as it says, each with its length.
func row(v []byte, whole bool, yes l7.Verdict) l7.Verdict {
	c := l7.NewCursor(v)
	k := int(c.U16())
	if c.Short() {
		return more(whole)
	}
	if k == 0 || k > 1664 {
		return l7.No
	}
	for range k {
		n := int32(c.U32())
		if c.Short() {
			return more(whole)
		}
		if n < -1 {
			return l7.No
		}
		if c.Skip(int(max(n, 0))); c.Short() {
			return more(whole)
		}
	}
	if whole && c.Len() == 0 {
		return yes
	}
	return l7.No
}

func more(whole bool) l7.Verdict {
	if whole {
		return l7.No
	}
	return l7.More
}

// short: v is the beginning of a text of at most limit bytes.
func short(v []byte, whole bool, limit int) l7.Verdict {
	if whole || len(v) > limit || !all(v) {
		return l7.No
	}
	return l7.More
}

func all(b []byte) bool {
	for _, c := range b {
		if !printable(c) {
			return false
		}
	}
	return true
}
