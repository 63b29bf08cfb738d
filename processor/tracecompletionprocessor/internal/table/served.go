package table

import (
	"slices"

	"github.com/hopscope/hopscope/internal/hop"
)

// served is what one client, an address and port, asked: the hops that brought
// it to server processes, and the server app spans that name this client and
// no parent. Both in order of their start.
type served struct {
	hops, apps []*Node
}

// maxServed bounds either list: requests of one connection that are known at a
// time. Past it nothing is matched, and nothing wrongly.
const maxServed = 1 << 14

// clockError is how much earlier than the hop that brought its request a server
// span may seem to start: the kernel's clock and the process's are read, and
// converted, at different times.
const clockError = int64(2e5)

// fileServed remembers a server process hop, or a server app span.
func (t *Table) fileServed(n *Node) {
	if n.Remote == 0 || n.App() && n.parent() != 0 {
		return
	}
	s := t.remote[n.Remote]
	if s == nil {
		s = &served{}
		t.remote[n.Remote] = s
	}
	list := &s.hops
	if n.App() {
		list = &s.apps
	}
	if len(*list) >= maxServed {
		return
	}
	i := len(*list)
	for i > 0 && (*list)[i-1].Start > n.Start {
		i--
	}
	*list = slices.Insert(*list, i, n)
}

func (t *Table) unfileServed(n *Node) {
	s := t.remote[n.Remote]
	if n.Remote == 0 || s == nil {
		return
	}
	list := &s.hops
	if n.App() {
		list = &s.apps
	}
	if i := slices.Index(*list, n); i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	if len(s.hops)+len(s.apps) == 0 {
		delete(t.remote, n.Remote)
	}
}

// serve matches a server app span that nobody sent ids to with the hop that
// brought its request: same process, same client address and port, and the span
// begins while the exchange is open. On a connection that carries one request at
// a time that is one; where requests overlap there may be several, and then
// nothing is matched.
func (t *Table) serve(n *Node) {
	s := t.remote[n.Remote]
	if n.Remote == 0 || s == nil || n.served != nil {
		return
	}
	var h, a *Node
	if n.App() {
		if h, a = t.bringer(s, n), n; h == nil || t.answer(s, h) != n {
			return
		}
	} else if n.Point == hop.ServerProcess {
		if h, a = n, t.answer(s, n); a == nil || t.bringer(s, a) != n {
			return
		}
	} else {
		return
	}
	if t.join(h.group, a.group) {
		h.served, a.served = a, h
	}
}

// bringer is the one hop that a may have been asked by. It began before a; a
// request that waits while 64 later ones of its connection begin is not looked
// for.
func (t *Table) bringer(s *served, a *Node) (found *Node) {
	i, _ := slices.BinarySearchFunc(s.hops, a.Start+clockError, func(h *Node, t int64) int { return sign(h.Start - t - 1) })
	for low := i - maxShared; i > 0 && i > low; i-- {
		if h := s.hops[i-1]; brought(h, a) {
			if found != nil {
				t.stats.Ambiguous++
				return nil
			}
			found = h
		}
	}
	return found
}

// answer is the one server app span that h may have asked.
func (t *Table) answer(s *served, h *Node) (found *Node) {
	i, _ := slices.BinarySearchFunc(s.apps, h.Start-clockError, func(a *Node, t int64) int { return sign(a.Start - t) })
	for ; i < len(s.apps) && s.apps[i].Start <= h.End; i++ {
		if a := s.apps[i]; brought(h, a) {
			if found != nil {
				t.stats.Ambiguous++
				return nil
			}
			found = a
		}
	}
	return found
}

// brought reports whether h may have brought the request that a served.
func brought(h, a *Node) bool {
	return h.Start <= a.Start+clockError && a.Start <= h.End && a.End <= h.End+slackSameHost && sameProcess(h, a)
}
