package redis

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// reply reads one answer, or what the server sends unasked.
func (p *parser) reply(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	m.Type = l7.TypeResponse
	_, next := number(b, 0)
	switch {
	case next < 0:
		return 0, l7.ErrLost
	case next == 0:
		return 0, l7.ErrMore
	}
	if c := b[0]; c == '>' || p.subscribed && c == '*' {
		if n, err, done := p.push(w, m); done {
			return n, err
		}
	}
	m.Status, m.Fresh = l7.StatusOK, true
	switch b[0] {
	case '-':
		failed(b[1:next-2], m)
	case '!':
		v, _ := number(b, 0)
		if end := next + int(v); v >= 0 && end > len(b) && !w.End && v < maxLine {
			return 0, l7.ErrMore
		}
		failed(b[next:min(len(b), next+int(max(v, 0)))], m)
	}
	n, left := skip(b, 0, 1)
	if left == bad {
		return 0, l7.ErrLost
	}
	if n == 0 {
		return 0, l7.ErrMore
	}
	p.left[l7.Server] = left
	m.More = left > 0
	if req := w.Req; req != nil && (req.Op == "PSYNC" || req.Op == "SYNC" || req.Op == "MONITOR") && !m.Status.Failed() {
		m.Switch = true // from here on the server sends commands
	}
	return n, nil
}

// failed reads an error: its first word in capitals is its code.
func failed(text []byte, m *l7.Message) {
	m.Status = l7.StatusServerError
	// What follows repeats arguments.
	if k := bytes.Index(text, withArgs); k > 0 {
		text = text[:k]
	}
	text = text[:min(len(text), maxError)]
	m.Error = m.Text.Copy(text)
	end := 0
	for end < len(text) && (text[end] >= 'A' && text[end] <= 'Z' || text[end] == '_') {
		end++
	}
	m.Code = m.Error[:end]
	if end == 0 && len(text) > 0 {
		m.Code = "ERR"
	}
}

var withArgs = []byte(", with args beginning with")

// maxError bounds the text of an error.
const maxError = 256

// push tells confirmations of subscriptions and messages of publishers from
// answers. done is false if b is an ordinary answer.
func (p *parser) push(w l7.Window, m *l7.Message) (n int, err error, done bool) {
	b := w.B
	count, i := number(b, 0)
	if count < 1 {
		return 0, nil, false
	}
	kind, next, ok := p.text(b, i)
	if !ok {
		switch {
		case next < 0 && b[0] == '*':
			return 0, nil, false
		case next < 0:
			return p.all(w, nil)
		case w.End: // cut: it may be no answer
			return len(b), l7.ErrSkip, true
		}
		return 0, l7.ErrMore, true
	}
	op, confirm := "", false
	switch string(kind) {
	case "message":
		op = "MESSAGE"
	case "pmessage":
		op = "PMESSAGE"
	case "smessage":
		op = "SMESSAGE"
	case "subscribe":
		op, confirm = "SUBSCRIBE", true
	case "psubscribe":
		op, confirm = "PSUBSCRIBE", true
	case "ssubscribe":
		op, confirm = "SSUBSCRIBE", true
	case "unsubscribe":
		op, confirm = "UNSUBSCRIBE", true
	case "punsubscribe":
		op, confirm = "PUNSUBSCRIBE", true
	case "sunsubscribe":
		op, confirm = "SUNSUBSCRIBE", true
	default:
		if b[0] == '*' {
			return 0, nil, false
		}
		op = "PUSH" // invalidate and the like
	}
	if confirm {
		if w.Req != nil && w.Req.Op == op && p.extra == 0 {
			p.extra = w.Req.Note - 1
			return 0, nil, false // it is the answer
		}
		if p.extra > 0 {
			p.extra--
		}
		return p.all(w, nil)
	}
	m.Type, m.Flow, m.Op = l7.TypeOneWay, l7.FlowDeliver, op
	if op != "PUSH" {
		channel, next, ok := p.text(b, next)
		if !ok && next >= 0 && !w.End {
			return 0, l7.ErrMore, true
		}
		m.Target = m.Text.Copy(channel[:min(len(channel), maxKey)])
	}
	m.Domain = p.db
	return p.all(w, m)
}

// all goes over the one message at the front of w. Without m it says nothing.
func (p *parser) all(w l7.Window, m *l7.Message) (int, error, bool) {
	n, left := skip(w.B, 0, 1)
	if left == bad {
		return 0, l7.ErrLost, true
	}
	p.left[l7.Server] = left
	if m == nil {
		return n, l7.ErrSkip, true
	}
	m.More = left > 0
	return n, nil, true
}

// text is the string element at b[i:] and where the next one starts. ok is
// false if it is not there whole (next 0) or none (next -1).
func (p *parser) text(b []byte, i int) (s []byte, next int, ok bool) {
	if i >= len(b) {
		return nil, 0, false
	}
	if b[i] != '$' {
		return nil, -1, false
	}
	v, at := number(b, i)
	switch {
	case at < 0 || v < 0 || v > maxKey:
		return nil, -1, false
	case at == 0 || at+int(v)+2 > len(b):
		return nil, 0, false
	}
	return b[at : at+int(v)], at + int(v) + 2, true
}
