package mysql

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// server reads what the server sent: the first packet of an answer, and as much
// of the rest as there is.
func (p *parser) server(w l7.Window, n int, m *l7.Message) (int, error) {
	b := w.B
	if p.phase != atHead {
		return p.goOn(w, 0, m)
	}
	if b[3] == 0 && b[4] == 0x0a && greeting(b) != l7.No {
		return p.greeting(w, n)
	}
	if w.Req == nil { // nobody knows what it answers
		p.cont[l7.Server] = n == fullPacket
		return headerLen + n, l7.ErrSkip
	}
	first := headerLen + min(n, maxHead)
	if len(b) < first && !w.End {
		return 0, l7.ErrMore
	}
	body := b[headerLen:min(len(b), headerLen+n)]
	com := w.Req.Note &^ (noteLong | noteCut)
	at := headerLen + n
	// An answer goes on counting where the request ended.
	if seq := b[3]; com == comLogin && seq < 2 || com != comLogin && com != comChangeUser && w.Req.Note&noteLong == 0 && seq != 1 {
		return 0, l7.ErrLost
	}
	p.rows, p.counted = 0, com != comQuery && com != comExecute && com != comBulkExecute
	m.Fresh = true
	if com == comLogin || com == comChangeUser {
		switch body[0] {
		case 0x01, 0xfe: // goes on
			return at, l7.ErrSkip
		}
		p.auth = false
		p.end(body, m)
		if body[0] == 0 && p.sane && p.caps&(capCompress|capZstd) != 0 {
			m.Opaque = true
		}
		return at, nil
	}
	if body[0] == 0xfe && n == 5 && com != comFieldList && com != comFetch {
		return at, l7.ErrSkip // the end of a prepared statement's columns
	}
	switch {
	case body[0] == 0xff:
		if progress(body) {
			return at, l7.ErrSkip
		}
		p.end(body, m)
		return at, nil
	case com == comStatistics:
		m.Status = l7.StatusOK
		return at, nil
	case com == comPrepare:
		return p.prepare(w, body, at, m)
	case com == comBinlogDump || com == comBinlogGTID:
		m.Status, m.Switch = l7.StatusOK, true
		return at, nil
	case com == comFieldList:
		p.phase, p.left = atFields, 0
	case com == comFetch:
		p.phase = atRows
	default:
		switch done, ok := p.result(body, m); {
		case !ok:
			return 0, l7.ErrLost
		case done:
			return at, nil
		}
		return p.goOn(w, at, m)
	}
	return p.goOn(w, 0, m)
}

// maxHead is how much of an answer's first packet is waited for: an error's text
// has at most 512 bytes.
const maxHead = 600

// goOn reads the packets from at on, up to the end of the answer or of the
// window. m.Fresh: the answer begins in this window.
func (p *parser) goOn(w l7.Window, at int, m *l7.Message) (int, error) {
	b := w.B
	fresh := m.Fresh
	done := false
	for !done {
		if at+headerLen > len(b) {
			break
		}
		n := packetLen(b[at:])
		if p.cont[l7.Server] {
			p.cont[l7.Server] = n == fullPacket
			at += headerLen + n
			continue
		}
		if at+headerLen == len(b) && n > 0 {
			break // its first byte says what it is
		}
		body := b[at+headerLen : min(len(b), at+headerLen+n)]
		cut := len(body) < n && p.decisive(body)
		if cut && !w.End && len(body) < maxHead {
			break
		}
		var ok bool
		if done, ok = p.packet(body, n, m); !ok {
			p.phase = atHead
			return 0, l7.ErrLost
		}
		// What it says of the packets behind it is not known: if they belong to
		// this answer, their numbers will tell.
		done = done || cut && w.End
		p.cont[l7.Server] = n == fullPacket
		at += headerLen + n
	}
	if done {
		p.phase = atHead
		if p.rows > 0 {
			m.AddInt(keyReturned, p.rows)
		}
		if fresh {
			if m.Status == l7.StatusUnset {
				m.Status = l7.StatusOK
			}
			return at, nil
		}
		return at, l7.ErrEnd
	}
	switch {
	case at == 0:
		if fresh {
			p.phase = atHead
		}
		return 0, l7.ErrMore
	case fresh:
		m.More = true
		if m.Status == l7.StatusUnset && p.phase != atInfile {
			m.Status = l7.StatusOK
		}
		return at, nil
	}
	return at, l7.ErrSkip
}

// decisive: the packet that starts so is read to its end.
func (p *parser) decisive(body []byte) bool {
	switch p.phase {
	case atNext, atInfile, afterColumns:
		return true
	}
	return body[0] == 0xfe || body[0] == 0xff
}

// packet reads one packet after the first. done: it ends the answer.
func (p *parser) packet(body []byte, n int, m *l7.Message) (done, ok bool) {
	if n == 0 {
		return false, p.phase == atRows
	}
	switch c := body[0]; p.phase {
	case atNext:
		return p.result(body, m)
	case atColumns:
		if c == 0xff {
			p.end(body, m)
			return true, true
		}
		if p.left--; p.left == 0 {
			p.phase = afterColumns
		}
	case afterColumns:
		p.phase = atRows
		if c == 0xfe && n == 5 { // with EOF packets: rows follow, unless a cursor has them
			return eofStatus(body)&statusCursor != 0, true
		}
		return p.row(body, n, m)
	case atRows:
		return p.row(body, n, m)
	case atDefs:
		if c == 0xfe && n == 5 {
			if p.left == 0 {
				return true, true
			}
			return false, true
		}
		p.left--
		return p.left == 0 && p.sane && p.caps&capDeprecateEOF != 0 || p.left == 0 && !p.sane, p.left >= 0
	case atFields:
		p.left++
		if c == 0xfe || c == 0xff {
			p.left = 0
			p.end(body, m)
			return true, true
		}
	case atInfile:
		return p.result(body, m)
	}
	return false, true
}

// row is a row, or what ends the rows.
func (p *parser) row(body []byte, n int, m *l7.Message) (done, ok bool) {
	switch c := body[0]; {
	case c == 0xff:
		if progress(body) {
			return false, true
		}
		p.end(body, m)
		return true, true
	case c == 0xfe && n < fullPacket:
		status := 0
		if n == 5 {
			status = eofStatus(body)
		} else {
			_, status = okPacket(body)
		}
		if status&statusMore != 0 {
			p.phase = atNext
			return false, true
		}
		return true, true
	}
	p.rows++
	return false, true
}

// result reads the first packet of a result: OK, an error, the request for a
// file, or the number of columns. done: it ends the answer.
func (p *parser) result(body []byte, m *l7.Message) (done, ok bool) {
	switch body[0] {
	case 0x00, 0xff:
		p.end(body, m)
		if p.again(body) {
			p.phase = atNext
			return false, true
		}
		return true, true
	case 0xfb:
		p.phase, p.infile = atInfile, true
		return false, true
	case 0xfe:
		return false, false
	}
	c := l7.NewCursor(body)
	p.left = lenenc(&c)
	if c.Short() || p.left == 0 || p.left > 4096 || c.Len() > 1 { // a table has at most 4096 columns
		return false, false
	}
	if m.Status == l7.StatusUnset {
		m.Status = l7.StatusOK
	}
	p.phase = atColumns
	if c.Len() == 1 && c.Peek() == 0 { // MariaDB: the client knows the columns
		p.phase = afterColumns
	}
	return false, true
}

// again: another result follows the one that body ends.
func (p *parser) again(body []byte) bool {
	if body[0] != 0 {
		return false
	}
	_, status := okPacket(body)
	return status&statusMore != 0
}

// end reads OK, EOF and ERR.
func (p *parser) end(body []byte, m *l7.Message) {
	switch body[0] {
	case 0xff:
		p.failed(body, m)
	default:
		if m.Status == l7.StatusUnset {
			m.Status = l7.StatusOK
		}
		if affected, _ := okPacket(body); body[0] == 0 && !p.counted && affected >= 0 {
			p.counted = true
			m.AddInt(keyAffected, affected)
		}
	}
}

// okPacket is what an OK packet says of rows, -1 if it is cut, and its status.
func okPacket(body []byte) (affected int64, status int) {
	c := l7.NewCursor(body[1:])
	affected = int64(lenenc(&c))
	lenenc(&c)
	status = int(c.U16LE())
	if c.Short() {
		return -1, 0
	}
	return affected, status
}

func eofStatus(body []byte) int {
	if len(body) < 5 {
		return 0
	}
	return int(binary.LittleEndian.Uint16(body[3:]))
}

// progress: MariaDB tells with error 65535 how far it is.
func progress(body []byte) bool { return len(body) >= 3 && body[1] == 0xff && body[2] == 0xff }

// failed reads an error.
func (p *parser) failed(body []byte, m *l7.Message) {
	m.Status = l7.StatusServerError
	if len(body) < 3 {
		return
	}
	code := int(binary.LittleEndian.Uint16(body[1:]))
	if code >= 2000 && code < 3000 {
		m.Status = l7.StatusClientError
	}
	m.Code = m.Text.Build(5, func(dst []byte) int { return len(strconv.AppendUint(dst[:0], uint64(code), 10)) })
	text := body[3:]
	if len(text) >= 6 && text[0] == '#' {
		text = text[6:]
	}
	text = text[:min(len(text), maxError)]
	switch code {
	case 1062, 1064, 1264, 1292, 1366, 1406, 1411, 1525, 1526, 1586:
		if !p.opt.KeepLiterals { // these quote values
			m.Error = m.Text.Build(len(text), func(dst []byte) int { return unquote(dst, text) })
			return
		}
	}
	m.Error = m.Text.Copy(text)
}

// maxError bounds the text of an error.
const maxError = 512

// unquote writes text without what stands between quotes.
func unquote(dst, text []byte) int {
	n := 0
	for len(text) > 0 {
		k := bytes.IndexByte(text, '\'')
		if k < 0 {
			return n + copy(dst[n:], text)
		}
		n += copy(dst[n:], text[:k])
		dst[n] = '?'
		n++
		// A value may hold quotes itself: what follows the last one is ours.
		e := bytes.LastIndex(text[k+1:], []byte("' "))
		if e < 0 {
			return n
		}
		if e2 := bytes.Index(text[k+1:], []byte("' for ")); e2 >= 0 {
			e = e2
		}
		text = text[k+1+e+1:]
		if bytes.IndexByte(text, '\'') >= 0 && bytes.HasPrefix(text, []byte(" for key")) {
			return n + copy(dst[n:], text) // the key's name
		}
	}
	return n
}

// prepare reads the answer to PREPARE.
func (p *parser) prepare(w l7.Window, body []byte, at int, m *l7.Message) (int, error) {
	if body[0] != 0 || len(body) < 9 {
		return 0, l7.ErrLost
	}
	c := l7.NewCursor(body[1:])
	id, columns, params := c.U32LE(), int(c.U16LE()), int(c.U16LE())
	req := w.Req
	if req.Note&noteCut == 0 {
		p.remember(id, prepared{opOf(req.Target), req.Target, req.Route})
	}
	m.Session = m.Text.Build(10, func(dst []byte) int { return len(strconv.AppendUint(dst[:0], uint64(id), 10)) })
	m.Status = l7.StatusOK
	p.left = columns + params
	if p.left == 0 {
		return at, nil
	}
	p.phase = atDefs
	return p.goOn(w, at, m)
}

// greeting reads the server's half of the handshake.
func (p *parser) greeting(w l7.Window, n int) (int, error) {
	b := w.B
	if len(b) < headerLen+n && !w.End {
		return 0, l7.ErrMore
	}
	c := l7.NewCursor(b[headerLen+1 : min(len(b), headerLen+n)])
	c.Until(0)
	c.Skip(4 + 8 + 1)
	caps := uint32(c.U16LE())
	c.Skip(3)
	caps |= uint32(c.U16LE()) << 16
	if !c.Short() {
		p.caps, p.sane = caps, true
	}
	return headerLen + n, l7.ErrSkip
}
