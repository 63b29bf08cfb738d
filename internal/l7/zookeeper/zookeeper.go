// Package zookeeper reads the client protocol of Apache ZooKeeper: frames of
// Jute records (zookeeper.jute in ZooKeeper's source).
package zookeeper

import (
	"bytes"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is ZooKeeper.
var Protocol = &l7.Protocol{
	Name:      "zookeeper",
	Transport: l7.TCP,
	Ports:     []uint16{2181},
	Pairing:   l7.ByStream,
	Keys: l7.Keys{
		Op:      "hopscope.session.operation",
		Target:  "hopscope.session.target",
		Code:    "hopscope.response.code",
		Session: "hopscope.session.request_id",
	},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return parser{opts: o} },
}

const (
	lenLen = 4
	// maxFrame bounds what is believed of a length: jute.maxbuffer is 1 MiB, and
	// is raised by some to a few more.
	maxFrame = 64 << 20
	// look is how much of a frame is looked at: header, path, and where a multi
	// has its first path.
	look = 1 << 10
	// maxPath bounds what is believed of a path.
	maxPath = 4 << 10
)

// Numbers of requests that are not counted.
const (
	xidEvent = -1
	xidPing  = -2
	xidSASL  = -9 // the clients' own; the server echoes what it gets
)

const (
	opPing  = 11
	opMulti = 14
	opRead  = 22
	opClose = -11
)

// streamConnect is the stream of the session's first request, which has no
// number; numbers have 32 bits.
const streamConnect = 1 << 32

type kind struct {
	name string
	path bool // a path is the first field
}

func operation(op int32) (kind, bool) {
	if op == opClose {
		return kind{name: "closeSession"}, true
	}
	if op > 0 && int(op) < len(kinds) && kinds[op].name != "" {
		return kinds[op], true
	}
	return kind{}, false
}

var kinds = [108]kind{
	1: {"create", true}, 2: {"delete", true}, 3: {"exists", true}, 4: {"getData", true}, 5: {"setData", true},
	6: {"getACL", true}, 7: {"setACL", true}, 8: {"getChildren", true}, 9: {"sync", true}, opPing: {"ping", false},
	12: {"getChildren2", true}, 13: {"check", true}, opMulti: {"multi", false}, 15: {"create2", true},
	16: {"reconfig", false}, 17: {"checkWatches", true}, 18: {"removeWatches", true}, 19: {"createContainer", true},
	20: {"deleteContainer", true}, 21: {"createTTL", true}, opRead: {"multiRead", false}, 100: {"auth", false},
	101: {"setWatches", false}, 102: {"sasl", false}, 103: {"getEphemerals", true}, 104: {"getAllChildrenNumber", true},
	105: {"setWatches2", false}, 106: {"addWatch", true}, 107: {"whoAmI", false},
}

type parser struct{ opts *l7.Options }

// frame is the length of the frame at the front of b, without its own bytes.
func frame(b []byte) (n int, ok bool) {
	c := l7.NewCursor(b)
	v := c.U32()
	return int(v), !c.Short() && v >= 8 && v <= maxFrame
}

// connect reports whether a frame of n bytes is the first of a session: of the
// client, or the server's answer. password is where the length of the password
// is; a boolean may follow it.
func connect(n int, b []byte, password int) bool {
	c := l7.NewCursor(b[lenLen:])
	version := c.U32()
	c.Take(password - 4)
	size := int32(c.U32())
	rest := n - password - 4
	return !c.Short() && version == 0 && size >= -1 && (rest == int(max(size, 0)) || rest == int(max(size, 0))+1)
}

// Where the length of the password is in the first frame of either side.
const (
	requestPassword = 4 + 8 + 4 + 8
	answerPassword  = 4 + 4 + 8
)

func detect(b []byte) l7.Verdict {
	if len(b) < lenLen {
		return l7.More
	}
	n, ok := frame(b)
	if !ok {
		return l7.No
	}
	if len(b) < lenLen+8 {
		return l7.More
	}
	c := l7.NewCursor(b[lenLen:])
	xid, op := int32(c.U32()), int32(c.U32())
	switch {
	case xid == 0:
		// A session's first frames: passwords have 16 bytes.
		if n >= requestPassword+20 && n <= requestPassword+21 || n == requestPassword+4 || n == requestPassword+5 {
			if len(b) < lenLen+requestPassword+4 {
				return l7.More
			}
			if connect(n, b, requestPassword) {
				return l7.Request
			}
		}
		if n >= answerPassword+20 && n <= answerPassword+21 {
			if len(b) < lenLen+answerPassword+4 {
				return l7.More
			}
			if connect(n, b, answerPassword) {
				return l7.Response
			}
		}
		return l7.No
	case xid == xidPing && op == opPing && n == 8:
		return l7.Request
	case xid == xidPing && n == 16:
		if len(b) < lenLen+16 {
			return l7.More
		}
		if c.U32(); c.U32() == 0 {
			return l7.Response
		}
		return l7.No
	case xid == xidEvent:
		if len(b) < lenLen+16+12 {
			return l7.More
		}
		// The transaction of an event is -1, in old servers the last one.
		if c.U32(); c.U32() == 0 && n > 24 {
			if event, state, size := c.U32(), c.U32(), c.U32(); event <= 8 && state <= 8 && int(size) == n-16-12 {
				return l7.Response
			}
		}
		return l7.No
	case xid > 0:
		if k, ok := operation(op); !ok || !k.path || n < 12 {
			return l7.No
		}
		if len(b) < lenLen+13 {
			return l7.More
		}
		if size := c.U32(); size > 0 && size <= maxPath && int(size) <= n-12 && c.U8() == '/' {
			return l7.Request
		}
	}
	return l7.No
}

func (p parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if len(w.B) < lenLen {
		return 0, l7.ErrMore
	}
	n, ok := frame(w.B)
	if !ok {
		return 0, l7.ErrLost
	}
	if len(w.B) < lenLen+min(n, look) && !w.End {
		return 0, l7.ErrMore
	}
	b := w.B[:min(len(w.B), lenLen+n)]
	c := l7.NewCursor(b[lenLen:])
	xid := int32(c.U32())
	var err error
	if side == l7.Client {
		err = p.request(xid, n, b, &c, m)
	} else {
		err = p.answer(xid, n, b, &c, m)
	}
	if err == l7.ErrLost || err == l7.ErrMore {
		return 0, err
	}
	return lenLen + n, err
}

func (p parser) request(xid int32, n int, b []byte, c *l7.Cursor, m *l7.Message) error {
	if xid == 0 && connect(n, b, requestPassword) {
		m.Op, m.Stream = "connect", streamConnect
		return nil
	}
	op := int32(c.U32())
	k, ok := operation(op)
	if c.Short() {
		return l7.ErrMore
	}
	if !ok || xid == 0 || xid < xidSASL {
		return l7.ErrLost
	}
	m.Op, m.Stream = k.name, uint64(uint32(xid))
	if xid > 0 {
		m.Session = m.Text.Build(10, func(dst []byte) int { return len(strconv.AppendInt(dst[:0], int64(xid), 10)) })
	}
	if op == opMulti || op == opRead {
		// The head of the first of its operations.
		first := int32(c.U32())
		done := c.U8()
		c.U32()
		if k, ok = operation(first); !ok || done != 0 {
			return nil
		}
	}
	if k.path {
		return p.path(c, m)
	}
	return nil
}

// path reads the path that an operation is about.
func (p parser) path(c *l7.Cursor, m *l7.Message) error {
	size := c.U32()
	if c.Short() {
		return nil // cut by the capture
	}
	if size > maxPath {
		return l7.ErrLost
	}
	path := c.Rest()[:min(c.Len(), int(size))]
	if len(path) == 0 {
		return nil
	}
	if path[0] != '/' || bytes.IndexByte(path, 0) >= 0 {
		return l7.ErrLost
	}
	m.Target = m.Text.Copy(path[:min(len(path), p.opts.MaxText)])
	m.Route = p.opts.Paths.Route(m.Text, m.Target)
	// A number that the server has counted is no name.
	if i := len(m.Route) - sequence; i > 0 && m.Route[i-1] != '/' && digits(m.Route[i:]) {
		m.Route = m.Text.Join(m.Route[:i], "{n}")
	}
	return nil
}

// sequence is how many digits the server appends to sequential nodes.
const sequence = 10

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func (p parser) answer(xid int32, n int, b []byte, c *l7.Cursor, m *l7.Message) error {
	m.Type = l7.TypeResponse
	if xid == 0 {
		if !connect(n, b, answerPassword) {
			return l7.ErrLost
		}
		m.Stream, m.Status = streamConnect, l7.StatusOK
		if c.U32() == 0 { // no time-out: the session is over
			m.Status, m.Code = l7.StatusClientError, "SESSIONEXPIRED"
		}
		return nil
	}
	c.U64() // the transaction
	code := int32(c.U32())
	if c.Short() || code > 0 || code < -200 {
		return l7.ErrLost
	}
	if xid == xidEvent {
		m.Type, m.Op = l7.TypeOneWay, "event"
		event := c.U32()
		if c.U32(); c.Short() {
			return l7.ErrSkip // cut by the capture
		}
		if int(event) < len(events) {
			m.Op = events[event]
		}
		return p.path(c, m)
	}
	m.Stream = uint64(uint32(xid))
	if code == 0 {
		m.Status = l7.StatusOK
		return nil
	}
	m.Status = l7.StatusServerError
	if code <= -100 {
		m.Status = l7.StatusClientError
	}
	if m.Code = errorName(code); m.Code == "" {
		m.Code = m.Text.Build(6, func(dst []byte) int { return len(strconv.AppendInt(dst[:0], int64(code), 10)) })
	}
	return nil
}

var events = [...]string{"event", "nodeCreated", "nodeDeleted", "nodeDataChanged", "nodeChildrenChanged",
	"dataWatchRemoved", "childWatchRemoved"}

// errorName is the name of a code in KeeperException.Code.
func errorName(code int32) string {
	switch {
	case code >= -15 && code < 0:
		return system[-code]
	case code >= -128 && code <= -100:
		return api[-code-100]
	}
	return ""
}

var system = [16]string{1: "SYSTEMERROR", 2: "RUNTIMEINCONSISTENCY", 3: "DATAINCONSISTENCY", 4: "CONNECTIONLOSS",
	5: "MARSHALLINGERROR", 6: "UNIMPLEMENTED", 7: "OPERATIONTIMEOUT", 8: "BADARGUMENTS", 12: "UNKNOWNSESSION",
	13: "NEWCONFIGNOQUORUM", 14: "RECONFIGINPROGRESS"}

var api = [29]string{1: "NONODE", 2: "NOAUTH", 3: "BADVERSION", 8: "NOCHILDRENFOREPHEMERALS", 10: "NODEEXISTS",
	11: "NOTEMPTY", 12: "SESSIONEXPIRED", 13: "INVALIDCALLBACK", 14: "INVALIDACL", 15: "AUTHFAILED", 18: "SESSIONMOVED",
	19: "NOTREADONLY", 20: "EPHEMERALONLOCALSESSION", 21: "NOWATCHER", 22: "REQUESTTIMEOUT", 23: "RECONFIGDISABLED",
	24: "SESSIONCLOSEDREQUIRESASLAUTH", 25: "QUOTAEXCEEDED", 27: "THROTTLEDOP"}
