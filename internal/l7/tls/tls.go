// Package tls reads TLS handshakes (RFC 5246, RFC 8446), as far as they are not
// encrypted. The handshake is the connection's only exchange: what follows is
// nobody's to read, and the engine is told so.
package tls

import (
	"encoding/binary"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is TLS.
var Protocol = &l7.Protocol{
	Name:      "tls",
	Transport: l7.TCP,
	Ports:     []uint16{443, 8443, 6443, 465, 636, 853, 993, 995, 5671, 8883},
	Pairing:   l7.InOrder,
	Keys:      l7.Keys{Op: "hopscope.session.operation", Code: "hopscope.response.code", Domain: "server.address"},
	Attrs:     []l7.Attr{{Key: "tls.protocol.name", Str: "tls"}},
	OfConn:    true,
	Detect:    detect,
	New:       func(*l7.Options) l7.Parser { return &parser{} },
}

// Types of records.
const (
	recCipher    = 20
	recAlert     = 21
	recHandshake = 22
	recData      = 23
	recHeartbeat = 24
)

// Types of handshake messages.
const (
	msgClientHello = 1
	msgServerHello = 2
	msgCertificate = 11
)

const (
	recHead = 5
	// maxRecord is the longest ciphertext of any version.
	maxRecord = 1<<14 + 2048
	msgHead   = 4
	// maxHello bounds a ClientHello; those with post-quantum keys have 2 KiB.
	maxHello = 16 << 10
	// maxPending bounds a handshake message spread over records: chains of
	// certificates have up to 20 KiB. Of a longer one the beginning is read,
	// which has the server's own.
	maxPending = 24 << 10
)

// record is the head at the front of b.
func record(b []byte) (typ byte, n int, ok bool) {
	n = int(binary.BigEndian.Uint16(b[3:]))
	typ = b[0]
	return typ, recHead + n, typ >= recCipher && typ <= recHeartbeat && b[1] == 3 && b[2] <= 4 && n > 0 && n <= maxRecord
}

func detect(b []byte) l7.Verdict {
	if len(b) == 0 {
		return l7.More
	}
	if b[0] != recHandshake && b[0] != recAlert || len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] > 4 {
		return l7.No
	}
	if len(b) < recHead {
		return l7.More
	}
	typ, n, ok := record(b)
	if !ok {
		return l7.No
	}
	b = b[recHead:]
	if typ == recAlert {
		// Before any handshake: the server's way to say that it will not.
		if n != recHead+2 {
			return l7.No
		}
		if len(b) < 2 {
			return l7.More
		}
		if b[0] == 2 && alertName(b[1]) != "" {
			return l7.Response
		}
		return l7.No
	}
	if len(b) > 0 && b[0] != msgClientHello && b[0] != msgServerHello || len(b) > 1 && b[1] != 0 {
		return l7.No
	}
	if len(b) < 6 {
		if n < recHead+6 {
			if len(b) >= 4 && n < recHead+msgHead {
				return l7.No
			}
			// A hello in small pieces: the type and the length say it.
			if len(b) >= n-recHead && n >= recHead+msgHead {
				return hello(b[0])
			}
		}
		return l7.More
	}
	if size := int(b[2])<<8 | int(b[3]); size < 38 || size > maxHello || b[4] != 3 || b[5] > 4 {
		// 38: version, random, no session, one cipher.
		return l7.No
	}
	return hello(b[0])
}

func hello(typ byte) l7.Verdict {
	if typ == msgClientHello {
		return l7.Request
	}
	return l7.Response
}

// parser is one connection.
type parser struct {
	asked  bool // the ClientHello was read
	open   bool // the answer has begun
	retry  bool // the last ServerHello asked for another ClientHello
	sealed [2]bool
	v13    bool
	sent   [32]byte // the session id that the client offered
	sentN  int
	// pending is the beginning of the server's handshake message that the last
	// record broke off; need is its length.
	pending []byte
}

// Resync: a message broken off is lost.
func (p *parser) Resync(side l7.Side) {
	if side == l7.Server {
		p.pending = nil
	}
}

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < recHead {
		return 0, l7.ErrMore
	}
	typ, n, ok := record(b)
	if !ok {
		return 0, l7.ErrLost
	}
	if side == l7.Client {
		return p.client(typ, n, w, m)
	}
	return p.server(typ, n, w, m)
}

func (p *parser) client(typ byte, n int, w l7.Window, m *l7.Message) (int, error) {
	switch {
	case typ == recHandshake && !p.asked && !p.retry:
		return p.hello(w, m)
	case typ == recAlert && n == recHead+2 && !p.sealed[l7.Client]:
		if len(w.B) < n {
			return 0, l7.ErrMore
		}
		if !p.alert(w.B[recHead], w.B[recHead+1], l7.StatusClientError, m) {
			return n, l7.ErrSkip
		}
		m.Type, m.NoReply, m.Opaque = l7.TypeRequest, true, true
		return n, nil
	case typ == recCipher:
		p.sealed[l7.Client] = true
	}
	return n, l7.ErrSkip
}

// hello reads the ClientHello, over as many records as it takes.
func (p *parser) hello(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	var body, joined []byte
	size, used := -1, 0
	for size < 0 || len(body) < size {
		if len(b) < used+recHead {
			if w.End && size > 0 {
				break
			}
			return 0, l7.ErrMore
		}
		typ, n, ok := record(b[used:])
		if !ok || typ != recHandshake {
			return 0, l7.ErrLost
		}
		if len(b) < used+n && !w.End {
			return 0, l7.ErrMore
		}
		part := b[used+recHead : min(used+n, len(b))]
		if used == 0 {
			body = part
		} else {
			if joined == nil {
				joined = make([]byte, 0, maxHello/4)
				joined = append(joined, body...)
			}
			joined = append(joined, part...)
			body = joined
		}
		used += n
		if size < 0 && len(body) >= msgHead {
			size = msgHead + (int(body[1])<<16 | int(body[2])<<8 | int(body[3]))
			if body[0] != msgClientHello || size > maxHello {
				return 0, l7.ErrLost
			}
		}
		if used > len(b) || len(body) > maxHello {
			break
		}
	}
	if len(body) < msgHead {
		return 0, l7.ErrMore
	}
	p.asked = true
	m.Type, m.Op, m.Name = l7.TypeRequest, "handshake", "TLS handshake"
	p.clientHello(l7.NewCursor(body[msgHead:min(size, len(body))]), m)
	return used, nil
}

func (p *parser) server(typ byte, n int, w l7.Window, m *l7.Message) (int, error) {
	m.Type, m.Fresh = l7.TypeResponse, !p.open
	switch typ {
	case recHandshake:
		if p.sealed[l7.Server] {
			return n, l7.ErrSkip
		}
		if len(w.B) < n && !w.End {
			return 0, l7.ErrMore
		}
		p.messages(w.B[recHead:min(n, len(w.B))], len(w.B) < n, m)
		p.open, m.More = true, true
		return n, nil
	case recAlert:
		if n != recHead+2 || p.sealed[l7.Server] {
			break
		}
		if len(w.B) < n {
			return 0, l7.ErrMore
		}
		if !p.alert(w.B[recHead], w.B[recHead+1], l7.StatusServerError, m) {
			return n, l7.ErrSkip
		}
		m.Opaque = true
		return n, nil
	case recCipher, recData:
		if typ == recCipher && p.retry {
			break // sent for the sake of middleboxes; the handshake begins anew
		}
		p.sealed[l7.Server] = true
		if !p.open {
			break
		}
		// All that follows is encrypted: of TLS 1.3 nearly all, of others only
		// Finished.
		p.open, p.pending = false, nil
		m.Status, m.Opaque = l7.StatusOK, true
		m.AddBool("tls.established", true)
		return n, nil
	}
	return n, l7.ErrSkip
}

// messages reads the handshake messages of a record of the server. cut: it is
// not all there.
func (p *parser) messages(b []byte, cut bool, m *l7.Message) {
	if p.pending != nil {
		p.pending = append(p.pending, b...)
		b = p.pending
	}
	for len(b) >= msgHead {
		size := msgHead + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
		whole := len(b) >= size
		if !whole && !cut && len(b) < maxPending {
			break
		}
		c := l7.NewCursor(b[msgHead:min(size, len(b))])
		switch b[0] {
		case msgServerHello:
			p.serverHello(c, m)
		case msgCertificate:
			certificate(c, m)
		}
		if !whole {
			p.pending = nil
			return
		}
		b = b[size:]
	}
	if len(b) == 0 || cut {
		p.pending = nil
		return
	}
	p.pending = append(make([]byte, 0, 4096), b...)
}

// alert fills m with an alert, and reports whether it ends the handshake.
func (p *parser) alert(level, what byte, whose l7.Status, m *l7.Message) bool {
	name := alertName(what)
	if level != 2 || name == "" {
		return false
	}
	m.Status, m.Code, m.Error = whose, name, name
	m.Add("hopscope.tls.alert", name)
	m.AddBool("tls.established", false)
	return true
}
