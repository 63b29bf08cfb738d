// Package tars reads the Tars protocol.
package tars

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Tars, over TCP.
var Protocol = &l7.Protocol{
	Name:      "tars",
	Transport: l7.TCP,
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:   "rpc.method",
		Code: "rpc.response.status_code",
	},
	Attrs:  []l7.Attr{{Key: "rpc.system.name", Str: "tars"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	maxPacket = 256 << 20
	// look is how much of a packet is looked at. The context comes after the
	// arguments: larger ones hide it.
	look     = 16 << 10
	maxDepth = 16
)

// Types of a field, https://doc.tarsyun.com/#/base/tars-protocol.md.
const (
	tInt8, tInt16, tInt32, tInt64, tFloat, tDouble, tString1, tString4 = 0, 1, 2, 3, 4, 5, 6, 7
	tMap, tList, tBegin, tEnd, tZero, tBytes                           = 8, 9, 10, 11, 12, 13
)

type parser struct{ opts *l7.Options }

// field reads the head of a field: its tag and type.
func field(c *l7.Cursor) (tag, typ byte) {
	x := c.U8()
	tag, typ = x>>4, x&15
	if tag == 15 {
		tag = c.U8()
	}
	return tag, typ
}

func integer(c *l7.Cursor, typ byte) (int64, bool) {
	switch typ {
	case tZero:
		return 0, true
	case tInt8:
		return int64(int8(c.U8())), !c.Short()
	case tInt16:
		return int64(int16(c.U16())), !c.Short()
	case tInt32:
		return int64(int32(c.U32())), !c.Short()
	case tInt64:
		return int64(c.U64()), !c.Short()
	}
	return 0, false
}

func text(c *l7.Cursor, typ byte) ([]byte, bool) {
	var b []byte
	switch typ {
	case tString1:
		b = c.Take(int(c.U8()))
	case tString4:
		b = c.Take(int(c.U32()))
	default:
		return nil, false
	}
	return b, !c.Short()
}

// count is the length of a map or list: a field of tag 0.
func count(c *l7.Cursor) (int, bool) {
	_, typ := field(c)
	n, ok := integer(c, typ)
	return int(n), ok && n >= 0 && n <= maxPacket && !c.Short()
}

// skip skips a value.
func skip(c *l7.Cursor, typ byte, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch typ {
	case tInt8, tInt16, tInt32, tInt64, tZero:
		_, ok := integer(c, typ)
		return ok
	case tFloat:
		c.Skip(4)
	case tDouble:
		c.Skip(8)
	case tString1, tString4:
		_, ok := text(c, typ)
		return ok
	case tMap, tList:
		n, ok := count(c)
		if typ == tMap {
			n *= 2
		}
		for ; ok && n > 0; n-- {
			_, t := field(c)
			ok = !c.Short() && skip(c, t, depth+1)
		}
		return ok
	case tBegin:
		for {
			_, t := field(c)
			if c.Short() {
				return false
			}
			if t == tEnd {
				return true
			}
			if !skip(c, t, depth+1) {
				return false
			}
		}
	case tBytes:
		if _, t := field(c); t != tInt8 {
			return false
		}
		n, ok := count(c)
		if !ok {
			return false
		}
		c.Skip(n)
	default:
		return false
	}
	return !c.Short()
}

// packet is a packet up to its arguments.
type packet struct {
	total             int
	version, oneway   int64
	id                int64
	request           bool
	servant, function []byte
	ret               int64
	c                 l7.Cursor // behind that
}

// read reads a packet's first fields; more: b is too short for them.
func read(b []byte) (p packet, ok, more bool) {
	c := l7.NewCursor(b)
	size := c.U32()
	if len(b) < 4 {
		return p, false, len(b) == 0 || b[0] <= maxPacket>>24
	}
	if size < 12 || size > maxPacket {
		return p, false, false
	}
	p.total = int(size)
	c.Keep(p.total - 4)
	cut := c.Len() < p.total-4
	next := func(want byte) (int64, bool) {
		tag, typ := field(&c)
		if c.Short() {
			return 0, false
		}
		v, ok := integer(&c, typ)
		return v, ok && tag == want
	}
	var v3, v4 int64
	for tag, to := range [...]*int64{&p.version, &p.oneway, &v3, &v4} {
		v, ok := next(byte(tag + 1))
		if !ok {
			return p, false, cut && c.Short()
		}
		*to = v
		if tag == 0 && (v < 1 || v > 5) || tag == 1 && (v < 0 || v > 1) {
			return p, false, false
		}
	}
	tag, typ := field(&c)
	switch {
	case c.Short():
		return p, false, cut
	case tag != 5:
		return p, false, false
	case typ == tString1 || typ == tString4:
		p.request, p.id = true, v4
		if p.servant, ok = text(&c, typ); !ok {
			return p, false, cut
		}
		tag, typ = field(&c)
		if p.function, ok = text(&c, typ); !ok || tag != 6 {
			return p, false, cut && c.Short()
		}
		if !name(p.servant) || !name(p.function) {
			return p, false, false
		}
	default:
		p.id = v3
		if p.ret, ok = integer(&c, typ); !ok {
			return p, false, cut && c.Short()
		}
	}
	p.c = c
	return p, true, false
}

func name(b []byte) bool {
	for _, x := range b {
		if x <= 0x20 || x >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}

func detect(b []byte) l7.Verdict {
	p, ok, more := read(b)
	switch {
	case more:
		return l7.More
	case !ok:
		return l7.No
	case p.request:
		return l7.Request
	}
	// An answer goes on with its bytes: tag 6.
	if tag, typ := field(&p.c); p.c.Short() || tag != 6 || typ != tBytes && typ != tList {
		return l7.No
	}
	return l7.Response
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	k, ok, more := read(w.B)
	switch {
	case more && !w.End:
		return 0, l7.ErrMore
	case more && k.total > 0:
		return k.total, l7.ErrSkip
	case !ok:
		return 0, l7.ErrLost
	case len(w.B) < min(k.total, look) && !w.End:
		return 0, l7.ErrMore
	case k.request != (side == l7.Client):
		return k.total, l7.ErrSkip
	}
	m.Stream = uint64(uint32(k.id))
	var b [20]byte
	if !k.request {
		m.Type = l7.TypeResponse
		m.Code = m.Text.Copy(strconv.AppendInt(b[:0], k.ret, 10))
		switch {
		case k.ret == 0:
			m.Status = l7.StatusOK
		case k.ret <= -10 && k.ret >= -12:
			m.Status = l7.StatusClientError
		default:
			m.Status = l7.StatusServerError
		}
		if k.ret != 0 {
			m.Error = retName(k.ret)
		}
		return k.total, nil
	}
	if k.oneway == 1 {
		m.Type = l7.TypeOneWay
	}
	m.Version = m.Text.Copy(strconv.AppendInt(b[:0], k.version, 10))
	m.Session = m.Text.Copy(strconv.AppendInt(b[:0], k.id, 10))
	m.Op = m.Text.Join(l7.View(k.servant), "/", l7.View(k.function))
	p.maps(&k.c, m)
	return k.total, nil
}

// maps looks for ids in the context and the status of a request.
func (p *parser) maps(c *l7.Cursor, m *l7.Message) {
	for c.Len() > 0 {
		tag, typ := field(c)
		if c.Short() {
			return
		}
		if tag < 9 || typ != tMap {
			if !skip(c, typ, 0) {
				return
			}
			continue
		}
		n, ok := count(c)
		for ; ok && n > 0; n-- {
			_, kt := field(c)
			k, ok1 := text(c, kt)
			_, vt := field(c)
			v, ok2 := text(c, vt)
			if !ok1 || !ok2 || c.Short() {
				return
			}
			p.opts.Header(m, k, v)
		}
	}
}

// retName is the name of a return code of the framework.
func retName(v int64) string {
	switch v {
	case -1:
		return "TARSSERVERDECODEERR"
	case -2:
		return "TARSSERVERENCODEERR"
	case -3:
		return "TARSSERVERNOFUNCERR"
	case -4:
		return "TARSSERVERNOSERVANTERR"
	case -5:
		return "TARSSERVERRESETGRID"
	case -6:
		return "TARSSERVERQUEUETIMEOUT"
	case -7:
		return "TARSASYNCCALLTIMEOUT"
	case -8:
		return "TARSPROXYCONNECTERR"
	case -9:
		return "TARSSERVEROVERLOAD"
	case -10:
		return "TARSADAPTERNULL"
	case -11:
		return "TARSINVOKEBYINVALIDESET"
	case -12:
		return "TARSCLIENTDECODEERR"
	case -99:
		return "TARSSERVERUNKNOWNERR"
	}
	return ""
}

// Resync keeps nothing, since nothing is kept.
func (p *parser) Resync(l7.Side) {}

// Find is where a packet of side starts.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+12 <= len(b); i++ {
		if b[i] > maxPacket>>24 || b[i+4] != 0x10 {
			continue
		}
		if v := detect(b[i:]); v == l7.Request && side == l7.Client || v == l7.Response && side == l7.Server {
			return i
		}
	}
	return -1
}
