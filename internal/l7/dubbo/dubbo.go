// Package dubbo reads the Dubbo 2 protocol: Hessian2 calls with their
// attachments, and the names of calls written with Kryo, Fastjson and Fastjson2.
package dubbo

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is Dubbo 2.
var Protocol = &l7.Protocol{
	Name:      "dubbo",
	Transport: l7.TCP,
	Ports:     []uint16{20880},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:   "rpc.method",
		Code: "rpc.response.status_code",
	},
	Attrs:  []l7.Attr{{Key: "rpc.system.name", Str: "dubbo"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	headSize = 16
	// maxBody bounds what is believed of a length. Dubbo's own limit is 8 MiB
	// unless configured.
	maxBody = 256 << 20
	// look is how much of a message is looked at. Attachments come after the
	// arguments: larger ones hide them.
	look = 16 << 10
	// maxText bounds an error's text.
	maxText = 512
)

// Flags, https://dubbo.apache.org/en/docs3-v2/java-sdk/reference-manual/protocol/overview/.
const (
	flagRequest = 0x80
	flagTwoWay  = 0x40
	flagEvent   = 0x20
)

// Serialisations by id, org.apache.dubbo.common.serialize.Constants.
var serialisations = [32]string{2: "hessian2", 3: "java", 4: "compactedjava", 5: "json", 6: "fastjson", 7: "nativejava", 8: "kryo",
	9: "fst", 10: "native-hessian", 11: "avro", 12: "protostuff", 16: "gson", 21: "protobuf-json", 22: "protobuf",
	23: "fastjson2", 25: "kryo2", 27: "msgpack"}

type parser struct{ opts *l7.Options }

type head struct {
	flags  byte
	status byte
	id     uint64
	total  int
}

func (h *head) serialisation() string { return serialisations[h.flags&0x1f] }

func (h *head) hessian() bool { return h.flags&0x1f == 2 }

// text is the next text at c, in any serialisation that is read. (It is no func
// value, since then c would lie on the heap.)
func (h *head) text(c *l7.Cursor) ([]byte, bool) {
	switch h.flags & 0x1f {
	case 2:
		return text(c)
	case 8, 25:
		return kryo(c)
	case 23:
		return jsonb(c)
	case 5, 6:
		return quoted(c)
	}
	return nil, false
}

// readHead reads a header; ok is false if b holds none, as far as it goes.
func readHead(b []byte) (h head, ok bool) {
	c := l7.NewCursor(b)
	if c.U8() != 0xda && len(b) > 0 || len(b) > 1 && b[1] != 0xbb {
		return h, false
	}
	c.U8()
	h.flags, h.status = c.U8(), c.U8()
	h.id = c.U64()
	size := c.U32()
	if len(b) > 2 && h.serialisation() == "" || len(b) > 3 && h.flags&flagRequest == 0 && !known(h.status) || size > maxBody {
		return h, false
	}
	h.total = headSize + int(size)
	return h, true
}

// known reports whether s is a status of an answer.
func known(s byte) bool { return statusName(s) != "" }

func detect(b []byte) l7.Verdict {
	h, ok := readHead(b)
	switch {
	case !ok:
		return l7.No
	case len(b) < headSize:
		return l7.More
	case h.flags&flagEvent != 0: // both sides send heartbeats
		return l7.Either
	case h.flags&flagRequest != 0:
		return l7.Request
	}
	return l7.Response
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	h, ok := readHead(w.B)
	switch {
	case !ok:
		return 0, l7.ErrLost
	case len(w.B) < headSize:
		return 0, l7.ErrMore
	case h.flags&flagEvent != 0, (h.flags&flagRequest != 0) != (side == l7.Client):
		// A heartbeat, or a callback to the client and its answer.
		return h.total, l7.ErrSkip
	case len(w.B) < min(h.total, look) && !w.End:
		return 0, l7.ErrMore
	}
	body := w.B[headSize:min(len(w.B), h.total, look)]
	m.Stream = h.id
	if side == l7.Client {
		p.request(&h, body, m)
	} else {
		p.response(&h, body, m)
	}
	return h.total, nil
}

func (p *parser) request(h *head, body []byte, m *l7.Message) {
	if h.flags&flagTwoWay == 0 {
		m.Type = l7.TypeOneWay
	}
	var b [20]byte
	m.Session = m.Text.Copy(strconv.AppendUint(b[:0], h.id, 10))
	m.Add("hopscope.rpc.serialization", h.serialisation())
	c := l7.NewCursor(body)
	version, ok := h.text(&c)
	if !ok || !plain(version) {
		return
	}
	m.Version = m.Text.Copy(version)
	service, ok1 := h.text(&c)
	revision, ok2 := h.text(&c)
	method, ok3 := h.text(&c)
	if !ok1 || !ok2 || !ok3 || !plain(service) || !plain(method) || len(service) == 0 || len(method) == 0 {
		return
	}
	m.Op = m.Text.Join(l7.View(service), "/", l7.View(method))
	if len(revision) > 0 && len(revision) <= 32 && plain(revision) {
		m.Add("hopscope.rpc.service.version", m.Text.Copy(revision))
	}
	if h.hessian() {
		p.attachments(&c, m)
	}
}

// attachments walks over the arguments and reads the map behind them.
func (p *parser) attachments(c *l7.Cursor, m *l7.Message) {
	desc, ok := text(c)
	if !ok {
		return
	}
	var s skipper
	for n := arguments(desc); n > 0; n-- {
		if !s.value(c, 0) {
			return
		}
	}
	s.entries(c, func(k, v []byte) {
		p.opts.Header(m, k, v)
	})
}

// arguments counts the types in a descriptor: Ljava/lang/String;[JI.
func arguments(desc []byte) (n int) {
	for i := 0; i < len(desc); i++ {
		for i < len(desc) && desc[i] == '[' {
			i++
		}
		if i < len(desc) && desc[i] == 'L' {
			k := bytes.IndexByte(desc[i:], ';')
			if k < 0 {
				k = len(desc) - i
			}
			i += k
		}
		n++
	}
	return n
}

func (p *parser) response(h *head, body []byte, m *l7.Message) {
	m.Type = l7.TypeResponse
	var b [3]byte
	m.Code = m.Text.Copy(strconv.AppendUint(b[:0], uint64(h.status), 10))
	c := l7.NewCursor(body)
	hessian := h.hessian()
	switch h.status {
	case 20:
		m.Status = l7.StatusOK
		// What follows says whether it is a value or what the service threw.
		if kind := c.U8(); hessian && (kind == 0x90 || kind == 0x93) && !c.Short() {
			m.Status = l7.StatusServerError
			m.Error = m.Text.Copy(className(&c))
		}
		return
	case 30, 40, 90:
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusServerError
	}
	m.Error = statusName(h.status)
	if hessian {
		if v, ok := text(&c); ok && len(v) > 0 {
			m.Error = m.Text.Copy(v[:min(len(v), maxText)])
		}
	}
}

// statusName is org.apache.dubbo.remoting.exchange.Response's name of a status.
func statusName(s byte) string {
	switch s {
	case 20:
		return "OK"
	case 25:
		return "SERIALIZATION_ERROR"
	case 30:
		return "CLIENT_TIMEOUT"
	case 31:
		return "SERVER_TIMEOUT"
	case 35:
		return "CHANNEL_INACTIVE"
	case 40:
		return "BAD_REQUEST"
	case 50:
		return "BAD_RESPONSE"
	case 60:
		return "SERVICE_NOT_FOUND"
	case 70:
		return "SERVICE_ERROR"
	case 80:
		return "SERVER_ERROR"
	case 90:
		return "CLIENT_ERROR"
	case 100:
		return "SERVER_THREADPOOL_EXHAUSTED_ERROR"
	}
	return ""
}

// plain reports whether b is a name: no spaces, no control characters.
func plain(b []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		// Eight at a time: a top bit is set where a byte is beyond 0x7e, or where
		// taking 0x21 from it borrows.
		x := binary.LittleEndian.Uint64(b)
		if (x|(x+ones)|(x-0x21*ones))&tops != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x <= 0x20 || x >= 0x7f {
			return false
		}
	}
	return true
}

// Resync keeps nothing, since nothing is kept.
func (p *parser) Resync(l7.Side) {}

// Find is where a header starts whose kind side sends.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i+headSize <= len(b); i++ {
		if b[i] != 0xda || b[i+1] != 0xbb {
			continue
		}
		if h, ok := readHead(b[i:]); ok && (h.flags&flagEvent != 0 || (h.flags&flagRequest != 0) == (side == l7.Client)) {
			return i
		}
	}
	return -1
}
