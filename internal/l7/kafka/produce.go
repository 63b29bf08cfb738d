package kafka

import "github.com/hopscope/hopscope/internal/l7"

// produce reads a Produce request: its acks, of which 0 means that nothing
// answers it, if they are there, and what it hands over.
func (p *parser) produce(w *walk, m *l7.Message) (acks int16, ok bool) {
	if w.version >= 3 {
		w.text() // transactional id
	}
	acks = int16(w.c.U16())
	if w.c.Short() {
		return 0, false
	}
	w.c.Skip(4) // timeout
	r := batches{opts: p.opts, text: m.Text, kind: m.Type, agree: true, whole: true}
	w.topics = w.count()
	for t := w.topics; t > 0 && !w.c.Short(); t-- {
		if w.version >= 13 {
			w.set(&w.topicID, w.c.Take(16))
		} else {
			w.set(&w.topic, w.text())
		}
		for n := w.count(); n > 0 && !w.c.Short(); n-- {
			w.part(int32(w.c.U32()))
			w.records(&r)
			w.tags()
		}
		w.tags()
	}
	p.describe(w, m)
	r.describe(m, !w.c.Short() && !w.stopped)
	return acks, true
}

// records reads one field of records, of which the end may be missing.
func (w *walk) records(r *batches) {
	size := w.size()
	if w.c.Short() || w.stopped {
		return
	}
	have := min(size, w.c.Len())
	r.read(w.c.Take(have), have < size)
	if have < size {
		w.c.Take(1) // short from here on
	}
}

// describe says what the batches are; whole: the body was read to its end.
func (r *batches) describe(m *l7.Message, whole bool) {
	if !r.hasOne {
		return
	}
	if r.whole && whole {
		m.AddInt("messaging.batch.message_count", r.count)
		if r.agree {
			m.Trace = r.trace
			m.Attrs = append(m.Attrs, r.found...)
		}
	}
	if int(r.codec) < len(codecs) && r.codec != 0 {
		m.Add("hopscope.messaging.compression", codecs[r.codec])
	}
}

func produceResponse(w *walk) {
	for t := w.count(); t > 0 && !w.c.Short(); t-- {
		if w.version >= 13 {
			w.c.Skip(16)
		} else {
			w.text()
		}
		for n := w.count(); n > 0 && !w.c.Short(); n-- {
			w.c.Skip(4) // partition
			w.err(int16(w.c.U16()))
			offset := int64(w.c.U64())
			if !w.hasOffset && !w.c.Short() {
				w.offset, w.hasOffset = offset, true
			}
			if w.version >= 2 {
				w.c.Skip(8) // log append time
			}
			if w.version >= 5 {
				w.c.Skip(8) // log start offset
			}
			if w.version >= 8 {
				for e := w.count(); e > 0 && !w.c.Short(); e-- {
					w.c.Skip(4)
					w.text()
					w.tags()
				}
				w.text() // error message
			}
			w.tags()
		}
		w.tags()
	}
}

// fetchRequest reads what a Fetch asks for first.
func fetchRequest(w *walk) {
	if w.version <= 14 {
		w.c.Skip(4) // replica id
	}
	w.c.Skip(4 + 4) // max wait, min bytes
	if w.version >= 3 {
		w.c.Skip(4) // max bytes
	}
	if w.version >= 4 {
		w.c.Skip(1) // isolation level
	}
	if w.version >= 7 {
		w.c.Skip(4 + 4) // session
	}
	if w.topics = w.count(); w.topics < 1 {
		return // an incremental fetch: what is asked for is known to the session only
	}
	if w.version >= 13 {
		w.set(&w.topicID, w.c.Take(16))
	} else {
		w.set(&w.topic, w.text())
	}
	if w.count() < 1 {
		return
	}
	w.part(int32(w.c.U32()))
	if w.version >= 9 {
		w.c.Skip(4) // leader epoch
	}
	w.offset = int64(w.c.U64())
	w.hasOffset = !w.c.Short()
}

// fetchResponse reads what was fetched: the first error, and of the records the
// place of the first, how many, and their ids.
func (p *parser) fetchResponse(w *walk, k call, m *l7.Message) {
	if w.version >= 1 {
		w.c.Skip(4) // throttle time
	}
	if w.version >= 7 {
		w.err(int16(w.c.U16()))
		w.c.Skip(4) // session
	}
	r := batches{opts: p.opts, text: m.Text, kind: m.Type, agree: true, whole: true}
	for t := w.count(); t > 0 && !w.c.Short(); t-- {
		var name, id []byte
		if w.version >= 13 {
			id = w.c.Take(16)
		} else {
			name = w.text()
		}
		for n := w.count(); n > 0 && !w.c.Short(); n-- {
			part := int32(w.c.U32())
			w.err(int16(w.c.U16()))
			w.c.Skip(8) // high watermark
			if w.version >= 4 {
				w.c.Skip(8) // last stable offset
			}
			if w.version >= 5 {
				w.c.Skip(8) // log start offset
			}
			if w.version >= 4 {
				for a := w.count(); a > 0 && !w.c.Short(); a-- {
					w.c.Skip(16) // aborted transaction
					w.tags()
				}
			}
			if w.version >= 11 {
				w.c.Skip(4) // preferred read replica
			}
			had := r.hasOne
			w.records(&r)
			if r.hasOne && !had {
				w.topic, w.topicID, w.partition, w.hasPart = name, id, part, true
			}
			w.tags()
		}
		w.tags()
	}
	w.hasRecords = r.hasOne
	switch {
	case !r.hasOne && k.asked:
		m.AddInt("messaging.kafka.offset", k.offset)
	case !r.hasOne:
	case k.topic == 0: // an incremental fetch names no topic; its answer does
		p.describe(w, m)
		m.AddInt("messaging.kafka.offset", r.base)
	case k.topic == w.hash():
		if w.partition != k.part {
			m.Add("messaging.destination.partition.id", decimal(m.Text, int64(w.partition)))
		}
		m.AddInt("messaging.kafka.offset", r.base)
	}
	r.describe(m, !w.c.Short() && !w.stopped)
}

// hash tells topics apart: FNV-1a of the name or the id.
func (w *walk) hash() uint32 {
	b := w.topic
	if len(b) == 0 {
		b = w.topicID
	}
	if len(b) == 0 {
		return 0
	}
	h := uint32(2166136261)
	for _, x := range b {
		h = (h ^ uint32(x)) * 16777619
	}
	return h
}
