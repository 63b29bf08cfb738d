package kernel

import (
	"sync/atomic"
	"time"

	"github.com/hopscope/hopscope/internal/event"
)

// lastWords brings what sockets that are gone could not say because the ring was
// full: what they have lost, and that they are gone.
type lastWords struct {
	seen    uint32
	waiting [][]byte
	after   uint64 // what was said before lies before this place of the ring
}

// look fetches what there is.
func (l *lastWords) look(c *Capture) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n uint32
	if c.late == nil || c.late.Get(&n) != nil || n == l.seen || len(l.waiting) > 0 {
		return
	}
	l.seen = n
	m := c.maps["hs_last"]
	var keys []uint64
	var key uint64
	var words []byte
	for it := m.Iterate(); it.Next(&key, &words); {
		keys = append(keys, key)
		l.waiting = append(l.waiting, append([]byte(nil), words...))
	}
	for _, k := range keys {
		_ = m.Delete(&k)
	}
	l.after = atomic.LoadUint64(c.ring.produced())
}

// tell gives them to f, once all that was said before was read.
func (l *lastWords) tell(c *Capture, f func([]byte), done bool) {
	if len(l.waiting) == 0 || !done && atomic.LoadUint64(c.ring.consumed()) < l.after {
		return
	}
	for _, b := range l.waiting {
		for len(b) >= event.HeadSize { // two records
			n := recordSize(b)
			if n == 0 {
				break
			}
			f(b[:n])
			b = b[n:]
		}
	}
	c.events.Add(uint64(2 * len(l.waiting)))
	l.waiting = nil
}

// silent knows when to ask sockets what was lost on them: those that go on to
// speak say it by themselves.
type silent struct{ at uint64 }

// silentFor is how long a socket has to say it by itself, in nanoseconds.
const silentFor = uint64(2 * time.Second)

// since notes that something was lost.
func (s *silent) since(now uint64) {
	if s.at == 0 {
		s.at = now + silentFor
	}
}

// due reports whether to ask now. done: there is no later.
func (s *silent) due(now uint64, done bool) bool {
	if s.at == 0 || now < s.at && !done {
		return false
	}
	s.at = 0
	return true
}

// sayLost has every socket that has lost something say so.
func (c *Capture) sayLost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = runIter(c.says, lostProg) // where it fails, sockets say it when they speak
}
