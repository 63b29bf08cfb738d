// Package fastcgi reads FastCGI, which web servers speak to PHP-FPM and others:
// HTTP requests in records.
package fastcgi

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is FastCGI.
var Protocol = &l7.Protocol{
	Name:      "fastcgi",
	Transport: l7.TCP,
	Ports:     []uint16{9000},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:      "http.request.method",
		Target:  "url.path",
		Route:   "http.route",
		Code:    "http.response.status_code",
		CodeInt: true,
		Domain:  "server.address",
	},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o, open: map[uint16]state{}} },
}

// Record types, https://fastcgi-archives.github.io/FastCGI_Specification.html#S8.
const (
	begin  = 1
	abort  = 2
	end    = 3
	params = 4
	stdin  = 5
	stdout = 6
	stderr = 7
	data   = 8
	values = 9
	result = 10
	huh    = 11
)

const (
	headSize = 8
	// maxOpen bounds the requests that are remembered. Few
	// servers have more than one open on a connection.
	maxOpen = 1024
	// look is how much of an output record is looked at for the status.
	look = 4 << 10
)

// sent has bit t set where the side sends records of type t.
var sent = [2]uint16{
	l7.Client: 1<<begin | 1<<abort | 1<<params | 1<<stdin | 1<<data | 1<<values,
	l7.Server: 1<<end | 1<<stdout | 1<<stderr | 1<<result | 1<<huh,
}

type parser struct {
	opts *l7.Options
	open map[uint16]state // the requests that wait for their end
}

// state of a request.
type state struct {
	asked  bool // it is complete
	status bool // its status is known
}

type record struct {
	typ   byte
	id    uint16
	size  int
	total int
	b     []byte
}

// read reads the record at the front of b; ok is false if there is none, as far
// as b goes.
func read(b []byte) (r record, ok bool) {
	c := l7.NewCursor(b)
	if v := c.U8(); v != 1 && len(b) > 0 {
		return r, false
	}
	r.typ = c.U8()
	r.id = c.U16()
	r.size = int(c.U16())
	pad := int(c.U8())
	if reserved := c.U8(); reserved != 0 && !c.Short() {
		return r, false
	}
	if len(b) > 1 && (r.typ < begin || r.typ > huh) {
		return r, false
	}
	if len(b) >= 4 && (r.id == 0) != (r.typ >= values) {
		return r, false
	}
	if len(b) >= 6 && (r.typ == begin || r.typ == end) && r.size != 8 {
		return r, false
	}
	r.total = headSize + r.size + pad
	if len(b) > headSize {
		r.b = b[headSize:min(len(b), headSize+r.size)]
	}
	return r, true
}

func detect(b []byte) l7.Verdict {
	r, ok := read(b)
	switch {
	case !ok:
		return l7.No
	case len(b) < headSize:
		return l7.More
	}
	switch r.typ {
	case begin:
		// A role, flags, five zeroes.
		if len(r.b) < 8 {
			return l7.More
		}
		if r.b[0] != 0 || r.b[1] < 1 || r.b[1] > 3 || r.b[2] > 1 || string(r.b[3:8]) != "\x00\x00\x00\x00\x00" || !follows(b, r.total, l7.Client) {
			return l7.No
		}
		return l7.Request
	case stdout:
		if r.size == 0 || len(r.b) < min(r.size, 16) {
			return l7.More
		}
		if len(b) < r.total && r.total < 1<<10 {
			return l7.More
		}
		if header(r.b) && follows(b, r.total, l7.Server) {
			return l7.Response
		}
	}
	return l7.No
}

// header reports whether output begins with a header's name.
func header(b []byte) bool {
	i := bytes.IndexByte(b[:min(len(b), 64)], ':')
	if i < 2 {
		return false
	}
	for _, x := range b[:i] {
		if (x < 'a' || x > 'z') && (x < 'A' || x > 'Z') && x != '-' && (x < '0' || x > '9') {
			return false
		}
	}
	return true
}

// follows reports whether at b[at:] a record of side starts, or nothing.
func follows(b []byte, at int, side l7.Side) bool {
	if at >= len(b) {
		return true
	}
	r, ok := read(b[at:])
	return ok && (len(b) == at+1 || sent[side]>>r.typ&1 == 1)
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	r, ok := read(w.B)
	switch {
	case !ok:
		return 0, l7.ErrLost
	case len(w.B) < headSize:
		return 0, l7.ErrMore
	case sent[side]>>r.typ&1 == 0:
		return 0, l7.ErrLost
	}
	m.Stream = uint64(r.id)
	m.More = true
	st, open := p.open[r.id]
	switch r.typ {
	case begin:
		if len(p.open) >= maxOpen {
			clear(p.open)
		}
		p.open[r.id] = state{}
	case params:
		if len(w.B) < r.total && !w.End {
			return 0, l7.ErrMore
		}
		if !open || st.asked {
			return r.total, l7.ErrSkip
		}
		p.params(r.b, len(r.b) < r.size, m)
	case stdin, data:
		if !open || st.asked || r.typ == data {
			return r.total, l7.ErrSkip // some clients end their input twice
		}
		if m.More = r.size > 0; !m.More {
			st.asked = true
			p.open[r.id] = st
		}
	case abort:
		return r.total, l7.ErrSkip // answered all the same
	case stdout:
		if !open {
			return r.total, l7.ErrSkip
		}
		m.Type = l7.TypeResponse
		if st.status || r.size == 0 {
			break
		}
		if len(r.b) < min(r.size, look) && !w.End {
			return 0, l7.ErrMore
		}
		st.status = true
		p.open[r.id] = st
		p.status(r.b[:min(len(r.b), look)], m)
	case stderr:
		if !open {
			return r.total, l7.ErrSkip
		}
		m.Type = l7.TypeResponse
	case end:
		if len(r.b) < 8 {
			if !w.End {
				return 0, l7.ErrMore
			}
			return r.total, l7.ErrSkip
		}
		if !open {
			return r.total, l7.ErrSkip
		}
		delete(p.open, r.id)
		m.Type, m.More = l7.TypeResponse, false
		if s := r.b[4]; s != 0 {
			m.Status, m.Error = l7.StatusServerError, refusal(s)
		}
	default:
		return r.total, l7.ErrSkip
	}
	return r.total, nil
}

// refusal is the protocol status of a request that was not served.
func refusal(s byte) string {
	switch s {
	case 1:
		return "FCGI_CANT_MPX_CONN"
	case 2:
		return "FCGI_OVERLOADED"
	case 3:
		return "FCGI_UNKNOWN_ROLE"
	}
	return "unknown protocol status"
}

// status reads the headers that the output begins with: if they end without a
// Status it is 200.
func (p *parser) status(b []byte, m *l7.Message) {
	c := l7.NewCursor(b)
	for m.Code == "" {
		line := c.Until('\n')
		if c.Short() {
			return // the status may be in what is missing
		}
		line = bytes.TrimRight(line, "\r")
		k, v, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			m.Code = "200"
			break
		}
		v = bytes.TrimSpace(v)
		if bytes.EqualFold(k, []byte("Status")) && len(v) >= 3 && v[0] >= '1' && v[0] <= '5' {
			m.Code = m.Text.Copy(v[:3])
			if len(v) > 4 {
				m.Error = m.Text.Copy(v[4:])
			}
			break
		}
		p.opts.Header(m, k, v)
	}
	switch m.Code[0] {
	case '4':
		m.Status = l7.StatusClientError
	case '5':
		m.Status = l7.StatusServerError
	default:
		m.Status, m.Error = l7.StatusOK, ""
	}
}

// Resync keeps what is open: records say whose they are.
func (p *parser) Resync(l7.Side) {}

// Find is where records of side start that fit one another.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+headSize <= len(b); i++ {
		if b[i] != 1 {
			continue
		}
		r, ok := read(b[i:])
		if !ok || sent[side]>>r.typ&1 == 0 || (i > 0 && i+r.total > len(b)) || !follows(b[i:], r.total, side) {
			continue
		}
		return i
	}
	return -1
}
