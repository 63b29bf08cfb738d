package kafka

import "github.com/hopscope/hopscope/internal/l7"

// op is what to do with the next field of a body.
type op uint8

const (
	skip1 op = iota
	skip2
	skip4
	skip8
	uuid   // 16 bytes
	str    // text that does not matter, or null
	array  // of structures, to the matching end
	end    // the structure of the last array ends
	stop   // nothing after this matters, or it is not described here
	ints   // array of int32; the first is the partition
	groups // array of text; the first is the group
	topics // array of text; the first is the topic
	topic
	topicID
	partition
	group
	offset
	code // error_code: the first that is not zero counts
)

// step is a field of the versions from..to; to 0 means all later ones.
type step struct {
	do       op
	from, to int8
}

// walk reads the fields of one body in order. It allocates nothing: what it
// finds points into the body.
type walk struct {
	c         l7.Cursor
	version   int8
	flexible  bool
	stopped   bool
	topic     []byte
	topicID   []byte
	group     []byte
	partition int32
	hasPart   bool
	offset    int64
	hasOffset bool
	code      int16
	hasCode   bool
	// hasRecords: a Fetch answer with messages in it.
	hasRecords bool
	// sure: no error that lies further back, where the body may be cut, counts.
	sure   bool
	topics int // how many topics the body names
}

// run does the steps until their array's end, and returns those after it.
func (w *walk) run(s []step) []step {
	for i := 0; i < len(s); i++ {
		if w.stopped || w.c.Short() {
			w.stopped = true
			return nil
		}
		st := &s[i]
		if st.do != end && st.do != array && (w.version < st.from || (st.to != 0 && w.version > st.to)) {
			continue
		}
		switch st.do {
		case skip1:
			w.c.Skip(1)
		case skip2:
			w.c.Skip(2)
		case skip4:
			w.c.Skip(4)
		case skip8:
			w.c.Skip(8)
		case uuid:
			w.c.Skip(16)
		case str:
			w.text()
		case array:
			body := s[i+1:]
			after := pastEnd(body)
			if w.version >= st.from && (st.to == 0 || w.version <= st.to) {
				n := w.count()
				if i == 0 || w.topics == 0 {
					w.topics = max(n, 0)
				}
				for ; n > 0 && !w.stopped && !w.c.Short(); n-- {
					w.run(body)
				}
			}
			i = len(s) - len(after) - 1
		case end:
			w.tags()
			return s[i+1:]
		case stop:
			w.stopped = true
			return nil
		case ints:
			for n := w.count(); n > 0 && !w.c.Short(); n-- {
				w.part(int32(w.c.U32()))
			}
		case groups:
			if n := w.count(); n > 0 {
				w.set(&w.group, w.text())
			}
			w.stopped = true
		case topics:
			if w.topics = w.count(); w.topics > 0 {
				w.set(&w.topic, w.text())
			}
			w.stopped = true
		case topic:
			w.set(&w.topic, w.text())
		case topicID:
			w.set(&w.topicID, w.c.Take(16))
		case partition:
			w.part(int32(w.c.U32()))
		case group:
			w.set(&w.group, w.text())
		case offset:
			v := int64(w.c.U64())
			if !w.hasOffset && !w.c.Short() {
				w.offset, w.hasOffset = v, true
			}
		case code:
			w.err(int16(w.c.U16()))
		}
	}
	return nil
}

func pastEnd(s []step) []step {
	depth := 1
	for i := range s {
		switch s[i].do {
		case array:
			depth++
		case end:
			if depth--; depth == 0 {
				return s[i+1:]
			}
		}
	}
	return nil
}

func (w *walk) set(to *[]byte, b []byte) {
	if len(*to) == 0 && !w.c.Short() {
		*to = b
	}
}

func (w *walk) part(p int32) {
	if !w.hasPart && !w.c.Short() {
		w.partition, w.hasPart = p, true
	}
}

func (w *walk) err(e int16) {
	if w.c.Short() {
		return
	}
	if !w.hasCode || w.code == 0 {
		w.code, w.hasCode = e, true
	}
}

// count is the length of an array; null is -1.
func (w *walk) count() int {
	var n int64
	if w.flexible {
		n = int64(w.c.Uvarint()) - 1
	} else {
		n = int64(int32(w.c.U32()))
	}
	if n < -1 || n > maxMessage {
		w.stopped = true
		return 0
	}
	return int(n)
}

// text is a string, nil if null.
func (w *walk) text() []byte {
	var n int64
	if w.flexible {
		n = int64(w.c.Uvarint()) - 1
	} else {
		n = int64(int16(w.c.U16()))
	}
	if n < 0 {
		return nil
	}
	if n > maxMessage {
		w.stopped = true
		return nil
	}
	return w.c.Take(int(n))
}

// size is the length of bytes; null is 0.
func (w *walk) size() int { return max(w.count(), 0) }

// tags skips the tagged fields of the flexible form.
func (w *walk) tags() {
	if !w.flexible {
		return
	}
	for n := w.c.Uvarint(); n > 0 && !w.c.Short(); n-- {
		w.c.Uvarint()
		size := w.c.Uvarint()
		if size > maxMessage {
			w.stopped = true
			return
		}
		w.c.Skip(int(size))
	}
}
