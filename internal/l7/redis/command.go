package redis

import (
	"bytes"

	"github.com/hopscope/hopscope/internal/l7"
)

// maxArgs is how many arguments the text of a command shows: what a command is
// for is told by its first ones.
const maxArgs = 4

// shape says which arguments of a command are no values.
type shape uint8

const (
	keyFirst shape = iota // the first is a key, a channel, a stream
	noKey                 // all are values, or secrets
	subWord               // the first is a second word of the command
)

// args are the arguments that the text shows, as far as the window has them.
type args struct {
	at [maxArgs]struct{ a, b int } // in the window
	n  int
}

// command reads one command.
func (p *parser) command(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	if b[0] != '*' {
		return p.inline(w, m)
	}
	count, i := number(b, 0)
	switch {
	case i < 0 || count > 1<<24:
		return 0, l7.ErrLost
	case i == 0:
		return 0, l7.ErrMore
	case count <= 0:
		return i, l7.ErrSkip
	}
	// The name and the first arguments must be there; the rest is skipped.
	var a args
	left, need := uint64(count), 2
	for left > 0 && (a.n < need || i < len(b) && a.n < maxArgs) {
		if i >= len(b) {
			if w.End && a.n > 0 && need == 2 {
				break
			}
			return 0, l7.ErrMore
		}
		v, next := number(b, i)
		if next == 0 {
			if a.n < need && (!w.End || a.n == 0 || need > 2) {
				return 0, l7.ErrMore
			}
			if w.End {
				i = len(b)
			}
			break
		}
		if next < 0 || b[i] != '$' || v < 0 || a.n == 0 && (v == 0 || v > maxWord) {
			return 0, l7.ErrLost
		}
		end := next + int(v)
		if end > len(b) && a.n < need && v <= maxKey && !w.End {
			return 0, l7.ErrMore
		}
		if end > len(b) && (a.n == 0 || a.n < need && need > 2) {
			return 0, l7.ErrLost // half a name is none
		}
		if end > len(b) {
			end = -1 // a value that is not there whole is not shown
		}
		a.at[a.n].a, a.at[a.n].b = next, end
		if a.n == 0 && v == 6 && bytes.EqualFold(b[next:end], client) {
			need = 3 // CLIENT REPLY OFF
		}
		a.n++
		i = next + int(v) + 2
		left--
	}
	if i < len(b) || left == 0 {
		i, left = skip(b, i, left)
	}
	if left == bad {
		return 0, l7.ErrLost
	}
	if !p.say(b, &a, int(count), m) {
		return 0, l7.ErrLost
	}
	p.left[l7.Client] = left
	m.More, m.Fresh = left > 0, true
	return i, nil
}

var client = []byte("CLIENT")

// maxKey is from how long on a key is not waited for: longer ones are cut.
const maxKey = 4 << 10

// inline reads a command on a line of its own, as people type it.
func (p *parser) inline(w l7.Window, m *l7.Message) (int, error) {
	b := w.B
	k := bytes.IndexByte(b, '\n')
	line := b
	if k >= 0 {
		line = b[:k]
	}
	for _, c := range line[:min(len(line), 8)] {
		if c < ' ' && c != '\r' && c != '\t' || c >= 0x7f {
			return 0, l7.ErrLost
		}
	}
	if k < 0 {
		if len(b) > maxLine {
			return 0, l7.ErrLost
		}
		return 0, l7.ErrMore
	}
	var a args
	total := 0
	for i := 0; i < len(line); {
		if c := line[i]; c == ' ' || c == '\r' || c == '\t' {
			i++
			continue
		}
		j := i
		for j < len(line) && line[j] != ' ' && line[j] != '\r' && line[j] != '\t' {
			j++
		}
		if a.n < maxArgs {
			a.at[a.n].a, a.at[a.n].b = i, j
			a.n++
		}
		total++
		i = j
	}
	if total == 0 {
		return k + 1, l7.ErrSkip
	}
	if !p.say(b, &a, total, m) {
		return 0, l7.ErrLost
	}
	return k + 1, nil
}

// say fills m with the command whose name and arguments are a of count.
func (p *parser) say(b []byte, a *args, count int, m *l7.Message) bool {
	name := b[a.at[0].a:a.at[0].b]
	if len(name) == 0 || len(name) > maxWord || name[0] < 'A' || name[0]|0x20 > 'z' {
		return false
	}
	var up [maxWord]byte
	for i, c := range name {
		if c >= 'a' && c <= 'z' {
			c &^= 0x20
		} else if c <= ' ' || c >= 0x7f {
			return false
		}
		up[i] = c
	}
	n := len(name)
	if p.last == nil || p.last.name != string(up[:n]) {
		p.last = commands[string(up[:n])]
	}
	kind, op := keyFirst, ""
	if p.last != nil {
		kind, op = p.last.kind, p.last.name
	}
	limit := p.opt.MaxText
	if limit <= 0 {
		limit = 2048
	}
	size := n + 2*maxArgs + len(dots)
	for _, s := range a.at[1:a.n] {
		size += max(s.b-s.a, 0)
	}
	m.Target = m.Text.Build(max(min(size, limit), n), func(dst []byte) int {
		k := copy(dst, up[:n])
		for i := 1; i < count && i < maxArgs; i++ {
			if i == 1 && kind != noKey && (a.n < 2 || a.at[1].b < 0) {
				return k // cut before the key's end
			}
			k += copy(dst[k:], " ")
			show := p.opt.KeepLiterals && kind != noKey || i == 1 && kind != noKey
			if show && i < a.n && a.at[i].b >= a.at[i].a {
				k += copy(dst[k:], b[a.at[i].a:a.at[i].b])
			} else {
				k += copy(dst[k:], "?")
			}
		}
		if count > maxArgs {
			k += copy(dst[k:], dots)
		}
		return k
	})
	if m.Op = op; op == "" {
		m.Op = m.Target[:n]
	}
	m.Domain = p.db
	p.special(b, a, count, m)
	return true
}

const dots = " ..."

// special keeps the state that some commands change.
func (p *parser) special(b []byte, a *args, count int, m *l7.Message) {
	arg := func(i int) []byte {
		if i < a.n && a.at[i].b >= 0 {
			return b[a.at[i].a:a.at[i].b]
		}
		return nil
	}
	reply := true
	switch m.Op {
	case "SELECT":
		if v := arg(1); len(v) > 0 && len(v) <= 5 {
			p.db = m.Text.Copy(v)
		}
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		p.subscribed = true
		m.Note = uint64(count - 1)
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		m.Note = uint64(max(count-1, 1))
	case "CLIENT":
		if count != 3 || !bytes.EqualFold(arg(1), []byte("reply")) {
			break
		}
		switch {
		case bytes.EqualFold(arg(2), []byte("off")):
			p.silent = true
		case bytes.EqualFold(arg(2), []byte("skip")):
			m.Type, p.once = l7.TypeOneWay, true
			return
		case bytes.EqualFold(arg(2), []byte("on")):
			p.silent, p.once = false, false
		}
	}
	if p.silent || p.once {
		reply, p.once = false, false
	}
	if !reply {
		m.Type = l7.TypeOneWay
	}
}
