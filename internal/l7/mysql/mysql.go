// Package mysql reads the protocol of MySQL, MariaDB, TiDB and their kin
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html).
package mysql

import (
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
)

// Protocol is MySQL.
var Protocol = &l7.Protocol{
	Name:      "mysql",
	Transport: l7.TCP,
	Ports:     []uint16{3306, 3307, 4000, 33060},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{
		Op:      sqltext.KeyOp,
		Target:  sqltext.KeyText,
		Route:   sqltext.KeyTable,
		Code:    "db.response.status_code",
		Domain:  "db.namespace",
		Session: "hopscope.session.request_id",
	},
	Attrs:  []l7.Attr{{Key: "db.system.name", Str: "mysql"}},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opt: o} },
}

// Attributes beyond the keys.
const (
	keyAffected = "hopscope.db.affected_rows"
	keyReturned = "db.response.returned_rows"
)

// Commands, the first byte of what a client sends.
const (
	comQuit         = 0x01
	comInitDB       = 0x02
	comQuery        = 0x03
	comFieldList    = 0x04
	comStatistics   = 0x09
	comPing         = 0x0e
	comChangeUser   = 0x11
	comBinlogDump   = 0x12
	comPrepare      = 0x16
	comExecute      = 0x17
	comLongData     = 0x18
	comClose        = 0x19
	comReset        = 0x1a
	comFetch        = 0x1c
	comBinlogGTID   = 0x1e
	comBulkExecute  = 0xfa // MariaDB
	comLogin        = 0x100
	capConnectDB    = 1 << 3
	capCompress     = 1 << 5
	cap41           = 1 << 9
	capSSL          = 1 << 11
	capLenencAuth   = 1 << 21
	capSecureAuth   = 1 << 15
	capDeprecateEOF = 1 << 24
	capZstd         = 1 << 26
)

// Status flags.
const (
	statusMore   = 0x0008
	statusCursor = 0x0040
)

const (
	headerLen = 4
	// fullPacket is the length of a packet that the next one continues.
	fullPacket = 0xffffff
	// maxStatement is how much of a statement is waited for: several times what
	// is kept of its text, so that a comment behind a long list is seen, too.
	maxStatement = 16 << 10
	// maxPrepared bounds the statements that are remembered of a connection: a
	// server allows 16382 of all clients together (max_prepared_stmt_count).
	maxPrepared = 256
)

// phase is where in an answer the server is.
type phase uint8

const (
	atHead    phase = iota
	atNext          // the first packet of one more result
	atColumns       // left definitions of columns or parameters to come
	afterColumns
	atRows
	atDefs   // of a prepared statement: left definitions and ends to come
	atInfile // the client sends a file, then the answer ends
	atFields // column definitions up to an end
)

// prepared is what is remembered of a prepared statement.
type prepared struct{ op, target, route string }

type parser struct {
	opt  *l7.Options
	caps uint32 // what both ends can
	sane bool   // caps is known
	auth bool   // logging in
	db   string

	phase   phase
	left    int
	rows    int64
	counted bool // affected rows have been told
	infile  bool
	cont    [2]bool // the packet before was full: this one continues it

	statements map[uint32]prepared
	order      []uint32 // their ids, oldest first from next on
	next       int
}

// Parse implements l7.Parser.
func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if len(b) < headerLen+1 {
		if len(b) == headerLen && b[0] == 0 && b[1] == 0 && b[2] == 0 && side == l7.Client && p.infile {
			p.infile = false // an empty packet ends the file
			return headerLen, l7.ErrSkip
		}
		return 0, l7.ErrMore
	}
	n := packetLen(b)
	if p.cont[side] {
		p.cont[side] = n == fullPacket
		return headerLen + n, l7.ErrSkip
	}
	if side == l7.Client {
		return p.client(w, n, m)
	}
	m.Type = l7.TypeResponse
	if n == 0 && p.phase != atRows {
		return 0, l7.ErrLost
	}
	return p.server(w, n, m)
}

func packetLen(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// Resync implements l7.Resyncer: prepared statements stay known.
func (p *parser) Resync(side l7.Side) {
	p.cont[side] = false
	if side == l7.Client {
		p.infile, p.auth = false, false
		return
	}
	p.phase = atHead
}

// Find implements l7.Finder: messages are believed at the front of a write only.
func (p *parser) Find(side l7.Side, b []byte) int {
	if len(b) < headerLen+1 {
		return 0
	}
	if side == l7.Client {
		greeted := p.sane && !p.auth && len(b) < headerLen+32 && packetLen(b) >= 32
		if b[3] == 0 && knownCommand(b) || b[3] <= 2 && (login(b) || greeted && b[3] > 0) {
			return 0
		}
		return -1
	}
	if answer(b) != l7.No || p.auth && b[3] >= 2 && (b[4] <= 1 || b[4] >= 0xfe) {
		return 0
	}
	return -1
}

// remember keeps what a prepared statement says.
func (p *parser) remember(id uint32, s prepared) {
	if p.statements == nil {
		p.statements = map[uint32]prepared{}
	}
	if _, again := p.statements[id]; !again {
		if len(p.order) < maxPrepared {
			p.order = append(p.order, id)
		} else {
			delete(p.statements, p.order[p.next])
			p.order[p.next] = id
			p.next = (p.next + 1) % maxPrepared
		}
	}
	p.statements[id] = s
}
