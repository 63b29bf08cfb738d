// Package smtp reads SMTP (RFC 5321) and LMTP (RFC 2033), up to where STARTTLS
// hides the rest.
package smtp

import (
	"bytes"
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// Protocol is SMTP.
var Protocol = &l7.Protocol{
	Name:      "smtp",
	Transport: l7.TCP,
	Ports:     []uint16{25, 587, 2525},
	Pairing:   l7.InOrder,
	Keys: l7.Keys{
		Op:     "hopscope.session.operation",
		Target: "hopscope.session.target",
		Code:   "hopscope.response.code",
	},
	Detect: detect,
	New:    func(o *l7.Options) l7.Parser { return &parser{opts: o} },
}

const (
	// maxLine bounds a line: RFC 5321 wants 512 bytes, extensions make them
	// longer, certificates in AUTH much longer.
	maxLine = 16 << 10
	// maxReply bounds a reply of several lines.
	maxReply = 32 << 10
	// maxName bounds what is kept of a server's name.
	maxName = 128
)

// commands of clients.
var commands = [...]string{"HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "VRFY", "EXPN", "NOOP", "QUIT",
	"AUTH", "STARTTLS", "HELP", "TURN", "ETRN", "XCLIENT", "XFORWARD"}

// Notes on requests: what the reply to them changes.
const (
	noteData = iota + 1
	noteAuth
	noteTLS
	noteText
)

type expects uint8

const (
	aCommand expects = iota
	aWord            // after DATA and AUTH: nothing, before the server has said what
	aText            // the message
	aProof           // after AUTH: what the server asked for
)

type parser struct {
	opts   *l7.Options
	server string
	client expects
	inText bool // inside the message
	isNew  bool // the text begins at a line's start
	holed  bool // commands may be lines of a text whose beginning was lost
}

// command is the command at the front of a line, in capitals.
func command(line []byte) string {
	word := line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		word = line[:i]
	}
	for _, c := range &commands {
		if len(c) == len(word) && strings.EqualFold(c, l7.View(word)) {
			return c
		}
	}
	return ""
}

// replyCode reports whether b begins as a line of a reply: the code, and whether
// another line follows.
func replyCode(b []byte) (code []byte, more, ok bool) {
	if len(b) < 4 || b[0] < '2' || b[0] > '5' || b[1] < '0' || b[1] > '5' || b[2] < '0' || b[2] > '9' {
		return nil, false, false
	}
	switch b[3] {
	case ' ', '\r', '\n':
		return b[:3], false, true
	case '-':
		return b[:3], true, true
	}
	return nil, false, false
}

func detect(b []byte) l7.Verdict {
	if len(b) < 4 {
		return l7.More
	}
	end := bytes.IndexByte(b[:min(len(b), maxName*4)], '\n')
	if bytes.HasPrefix(b, []byte("220")) && (b[3] == ' ' || b[3] == '-') {
		line := b
		if end >= 0 {
			line = b[:end]
		}
		if word(line, "SMTP") || word(line, "LMTP") {
			return l7.Response
		}
		if end < 0 && len(b) < maxName*4 {
			return l7.More
		}
		return l7.No
	}
	// Commands that nobody else has.
	for _, c := range []string{"EHLO ", "HELO ", "LHLO ", "MAIL FROM:", "RCPT TO:"} {
		n := min(len(c), len(b))
		if !strings.EqualFold(l7.View(b[:n]), c[:n]) {
			continue
		}
		if end < 0 {
			return l7.More
		}
		return l7.Request
	}
	return l7.No
}

// word reports whether a line has a word that ends as w does: SMTP, ESMTP.
func word(line []byte, w string) bool {
	for i := 4; i+len(w) <= len(line); i++ {
		if line[i]|0x20 != w[0]|0x20 || !strings.EqualFold(l7.View(line[i:i+len(w)]), w) {
			continue
		}
		if j := i + len(w); j == len(line) || !letter(line[j]) {
			return true
		}
	}
	return false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }

func (p *parser) Parse(side l7.Side, w l7.Window, m *l7.Message) (int, error) {
	if side == l7.Server {
		return p.reply(w, m)
	}
	if p.inText {
		return p.text(w)
	}
	if p.client == aWord {
		return 0, l7.ErrLost // what was said is lost
	}
	if p.client == aText {
		p.client, p.inText, p.isNew = aCommand, true, true
		// Of the text, its first byte says no more than that it begins.
		m.Op, m.Note, m.More, m.Domain = "message", noteText, true, p.server
		if w.B[0] == '.' {
			if len(w.B) < 3 && !w.End {
				p.client, p.inText = aText, false
				return 0, l7.ErrMore
			}
			if bytes.HasPrefix(w.B, []byte(".\r\n")) {
				p.inText, m.More = false, false
				return 3, nil
			}
		}
		p.isNew = w.B[0] == '\n'
		return 1, nil
	}
	end := bytes.IndexByte(w.B[:min(len(w.B), maxLine)], '\n')
	if end < 0 {
		if len(w.B) < maxLine && !w.End {
			return 0, l7.ErrMore
		}
		return 0, l7.ErrLost
	}
	n := end + 1
	line := bytes.TrimRight(w.B[:end], "\r")
	m.Domain = p.server
	if p.client == aProof {
		p.client = aWord
		m.Op, m.Note = "AUTH", noteAuth
		return n, nil
	}
	return p.command(line, n, m)
}

func (p *parser) command(line []byte, n int, m *l7.Message) (int, error) {
	if m.Op = command(line); m.Op == "" {
		if p.holed || !printable(line) {
			return 0, l7.ErrLost
		}
		m.Op = "OTHER"
		return n, nil
	}
	arg := bytes.TrimSpace(line[len(m.Op):])
	switch m.Op {
	case "MAIL", "RCPT", "VRFY", "EXPN":
		p.address(arg, m)
	case "EHLO", "HELO", "LHLO":
		m.Target = m.Text.Copy(arg[:min(len(arg), maxName)])
	case "DATA":
		p.client, m.Note = aWord, noteData
	case "AUTH":
		method, _, _ := bytes.Cut(arg, []byte(" "))
		p.client, m.Target, m.Note = aWord, m.Text.Copy(method[:min(len(method), 32)]), noteAuth
	case "STARTTLS":
		m.Note = noteTLS
	case "BDAT":
		size, last, _ := bytes.Cut(arg, []byte(" "))
		k := 0
		for _, c := range size {
			if c < '0' || c > '9' || k > 1<<30 {
				return 0, l7.ErrLost
			}
			k = k*10 + int(c-'0')
		}
		n += k
		if len(last) > 0 {
			m.Target = "LAST"
		}
	}
	return n, nil
}

// address is the domain of a mail address; who it is is not told.
func (p *parser) address(arg []byte, m *l7.Message) {
	_, a, ok := bytes.Cut(arg, []byte("<"))
	if !ok {
		return
	}
	a, _, ok = bytes.Cut(a, []byte(">"))
	if !ok {
		return
	}
	a = a[:min(len(a), p.opts.MaxText)]
	if p.opts.KeepLiterals {
		m.Target = m.Text.Copy(a)
		return
	}
	if i := bytes.LastIndexByte(a, '@'); i >= 0 {
		m.Target = m.Text.Join("?", l7.View(a[i:]))
	}
}

// text passes over the message, up to the line with a dot.
func (p *parser) text(w l7.Window) (int, error) {
	b := w.B
	if p.isNew {
		if done, more := dot(b); done {
			p.inText = false
			return 3, l7.ErrEnd
		} else if more && !w.End {
			return 0, l7.ErrMore
		}
		p.isNew = false
	}
	for i := 0; i < len(b); {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return len(b), l7.ErrSkip
		}
		i += j + 1
		done, more := dot(b[i:])
		switch {
		case done:
			p.inText = false
			return i + 3, l7.ErrEnd
		case more:
			p.isNew = true
			return i, l7.ErrSkip
		}
	}
	return len(b), l7.ErrSkip
}

// dot reports whether b begins with the line that ends a message, or may.
func dot(b []byte) (done, more bool) {
	const line = ".\r\n"
	n := min(len(b), len(line))
	if string(b[:n]) != line[:n] {
		return false, false
	}
	return n == len(line), n < len(line)
}

// reply reads a reply of one or more lines.
func (p *parser) reply(w l7.Window, m *l7.Message) (int, error) {
	n := 0
	var code, first, last []byte
	for {
		b := w.B[n:min(len(w.B), maxReply)]
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			if len(w.B) < maxReply && !w.End {
				return 0, l7.ErrMore
			}
			return 0, l7.ErrLost
		}
		c, more, ok := replyCode(b)
		if !ok || n > 0 && !bytes.Equal(c, code) {
			return 0, l7.ErrLost
		}
		code, last = c, bytes.TrimSpace(b[3:end]) // a line may be a code alone
		if n == 0 {
			first = bytes.TrimPrefix(last, []byte("-"))
		}
		n += end + 1
		if !more {
			break
		}
	}
	if w.Req == nil {
		if p.server == "" && string(code) == "220" {
			name, _, _ := bytes.Cut(bytes.TrimSpace(first), []byte(" "))
			p.server = string(name[:min(len(name), maxName)])
		}
		return n, l7.ErrSkip
	}
	m.Type = l7.TypeResponse
	m.Code = m.Text.Copy(code)
	switch code[0] {
	case '4':
		m.Status = l7.StatusServerError
	case '5':
		m.Status = l7.StatusClientError
	default:
		m.Status = l7.StatusOK
	}
	if m.Status.Failed() {
		m.Error = m.Text.Copy(enhanced(last))
		if p.opts.KeepLiterals {
			m.Error = m.Text.Copy(last[:min(len(last), p.opts.MaxText)])
		}
	}
	switch w.Req.Note {
	case noteData:
		if p.client = aCommand; code[0] == '3' {
			p.client = aText
		}
	case noteAuth:
		if p.client = aCommand; code[0] == '3' {
			p.client = aProof
		}
	case noteTLS:
		m.Switch = code[0] == '2'
		m.Seals = m.Switch
	}
	return n, nil
}

// enhanced is the status code of RFC 3463 in front of a text; the text may name
// people.
func enhanced(b []byte) []byte {
	code, _, _ := bytes.Cut(b, []byte(" "))
	if len(code) < 5 || len(code) > 11 || code[1] != '.' {
		return nil
	}
	for _, c := range code {
		if c != '.' && (c < '0' || c > '9') {
			return nil
		}
	}
	return code
}

// Resync: what is text, and what are commands, is told by what follows.
func (p *parser) Resync(side l7.Side) {
	if side == l7.Client {
		p.client, p.inText, p.holed = aCommand, false, true
	}
}

// Find is where a line of side begins in b.
func (p *parser) Find(side l7.Side, b []byte) int {
	for i := 0; i < len(b); {
		if side == l7.Server {
			if _, _, ok := replyCode(b[i:]); ok {
				return i
			}
		} else if detect(b[i:]) == l7.Request {
			return i
		}
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return -1
		}
		i += j + 1
	}
	return -1
}
