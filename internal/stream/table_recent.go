package stream

// insert puts s in front, and makes room for it.
func (t *Table) insert(s *entry) *entry {
	for t.n >= t.cfg.MaxConns {
		t.stats.Evicted.Add(1)
		t.drop(t.oldest, t.Unix(uint64(t.now)))
	}
	t.n++
	t.stats.Conns.Store(int64(t.n))
	t.front(s)
	return s
}

// touches is how finely silence is measured, of Idle.
const touches = 64

func (t *Table) front(s *entry) {
	s.used = t.now
	s.older, s.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = s
	}
	t.newest = s
	if t.oldest == nil {
		t.oldest = s
	}
}

func (t *Table) unlink(s *entry) {
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		t.newest = s.older
	}
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		t.oldest = s.newer
	}
	s.newer, s.older = nil, nil
}

// touch notes that s is in use, now and then: its neighbours in the list are
// other connections' memory.
func (t *Table) touch(s *entry) {
	if t.now-s.used < t.cfg.Idle/touches {
		return
	}
	if t.newest == s {
		s.used = t.now
		return
	}
	t.unlink(s)
	t.front(s)
}

// drop forgets s and tells the next stage.
func (t *Table) drop(s *entry, time int64) {
	t.unlink(s)
	t.n--
	t.stats.Conns.Store(int64(t.n))
	if s.peer.sock != 0 {
		delete(t.peers, s.peer)
	} else {
		delete(t.socks, s.sock)
		if r := &t.recent[s.sock%uint64(len(t.recent))]; *r == s {
			*r = nil
		}
	}
	if s.many {
		return
	}
	c := Chunk{Conn: s.conn, Close: true, Time: time}
	t.next(&c)
}

// recentSocks are sockets by the low bits of their cookies, which the kernel counts
// up: what talks now is mostly found here, without the map.
type recentSocks [256]*entry

// sock is what is known of a socket, nil if that is nothing.
func (t *Table) sock(cookie uint64) *entry {
	r := &t.recent[cookie%uint64(len(t.recent))]
	if s := *r; s != nil && s.sock == cookie {
		return s
	}
	s := t.socks[cookie]
	if s != nil {
		*r = s
	}
	return s
}
