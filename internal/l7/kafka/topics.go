package kafka

// Since Fetch 13 and Produce 13 topics are named by ids alone. The ids are
// unique (KIP-516), and every client asks for them, but on a connection of its
// own choice: what one connection tells is kept for all.

const (
	idLen = 16
	// maxTopics bounds the names that are kept: past it they are learnt anew,
	// which clients see to within metadata.max.age.ms, five minutes. A name has
	// at most 249 bytes, so this is 1.2 MiB at the very most.
	maxTopics = 4096
	// maxTopic is the longest name that a broker allows.
	maxTopic = 249
)

// topicNames is what topics are called, by id.
type topicNames struct{ by map[[idLen]byte]string }

// of is the name of a topic, "" if it is not known.
func (t *topicNames) of(id []byte) string {
	if len(id) != idLen {
		return ""
	}
	return t.by[[idLen]byte(id)]
}

func (t *topicNames) learn(id, name []byte) {
	if len(id) != idLen || len(name) == 0 || len(name) > maxTopic || !legal(name) {
		return
	}
	k := [idLen]byte(id)
	if k == ([idLen]byte{}) || t.by[k] == string(name) {
		return
	}
	if t.by == nil || len(t.by) >= maxTopics {
		t.by = map[[idLen]byte]string{}
	}
	t.by[k] = string(name)
}

// metadataResponse reads the names of topics, and the error of the first.
func (p *parser) metadataResponse(w *walk) {
	if w.version >= 3 {
		w.c.Skip(4) // throttle time
	}
	for n := w.count(); n > 0 && !w.c.Short(); n-- {
		w.c.Skip(4) // broker's id
		w.text()
		w.c.Skip(4)
		if w.version >= 1 {
			w.text() // rack
		}
		w.tags()
	}
	if w.version >= 2 {
		w.text() // cluster's id
	}
	if w.version >= 1 {
		w.c.Skip(4) // controller
	}
	for n := w.count(); n > 0 && !w.c.Short() && !w.stopped; n-- {
		// The first topic's error is that of the answer: most ask for one.
		if e := int16(w.c.U16()); !w.hasCode {
			w.err(e)
			w.sure = w.hasCode
		}
		name := w.text()
		if w.version >= 10 {
			id := w.c.Take(idLen)
			p.names.learn(id, name)
		}
		if w.version >= 1 {
			w.c.Skip(1) // internal
		}
		for k := w.count(); k > 0 && !w.c.Short(); k-- {
			w.c.Skip(2 + 4 + 4) // error, partition, leader
			if w.version >= 7 {
				w.c.Skip(4) // leader epoch
			}
			w.skipInts() // replicas
			w.skipInts() // in sync
			if w.version >= 5 {
				w.skipInts() // offline
			}
			w.tags()
		}
		if w.version >= 8 {
			w.c.Skip(4) // what the asker may do
		}
		w.tags()
	}
}

// skipInts skips an array of int32.
func (w *walk) skipInts() { w.c.Skip(4 * max(w.count(), 0)) }
