package http2

// kind is what a stream is used for.
type kind uint8

const (
	kindUnknown kind = iota // its headers are not known
	kindHTTP
	kindGRPC
	kindTriple
)

func (k kind) rpc() bool { return k >= kindGRPC }

// Limits of what is remembered of one connection.
const (
	// firstSlots is room for the streams of a connection with little to do.
	firstSlots = 4
	// maxSlots is beyond the streams in flight of most: servers allow 100 to 250.
	maxSlots = 256
	// maxKept bounds streams that are open so long that others need their place.
	maxKept = 1024
)

// stream is what is remembered of one.
type stream struct {
	id      uint32
	live    bool
	kind    kind
	reqEnd  bool
	answer  bool // its final headers came
	pending bool // the method is held back: it may turn out to be gRPC
	said    bool // the number of the request's messages
	method  string
	path    string // held back like the method
	coding  string // grpc-encoding
	count   [2]counter
	body    [2][]byte // its beginning, if rules look into it
}

// counter counts the messages of one side (length-prefixed, gRPC).
type counter struct {
	n          uint32
	left       uint32 // bytes of the current message still to come
	prefix     [5]byte
	have       uint8 // bytes of prefix
	unsure     bool  // some were not seen
	foreign    bool  // what is there is no gRPC
	compressed bool
}

// table finds streams by number. Numbers grow by two, so the low bits are a
// place of its own for each of the streams in flight; what is open longer moves
// over to a map.
type table struct {
	slots []stream
	kept  map[uint32]*stream
}

func (t *table) get(id uint32) *stream {
	if len(t.slots) == 0 {
		return nil
	}
	if s := &t.slots[int(id>>1)&(len(t.slots)-1)]; s.live && s.id == id {
		return s
	}
	if len(t.kept) == 0 {
		return nil
	}
	return t.kept[id]
}

// put makes an empty stream. An older one of that number is forgotten.
func (t *table) put(id uint32) *stream {
	if len(t.slots) == 0 {
		t.slots = make([]stream, firstSlots)
	}
	if old := t.kept[id]; old != nil {
		delete(t.kept, id)
	}
	for {
		s := &t.slots[int(id>>1)&(len(t.slots)-1)]
		if !s.live || s.id == id {
			*s = stream{id: id, live: true}
			return s
		}
		if len(t.slots) < maxSlots {
			t.grow()
			continue
		}
		t.keep(s)
		*s = stream{id: id, live: true}
		return s
	}
}

// keep moves s to the map; when that is full, the oldest is forgotten.
func (t *table) keep(s *stream) {
	if t.kept == nil {
		t.kept = map[uint32]*stream{}
	}
	if len(t.kept) >= maxKept {
		oldest := ^uint32(0)
		for id := range t.kept {
			oldest = min(oldest, id)
		}
		delete(t.kept, oldest)
	}
	c := *s
	t.kept[s.id] = &c
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]stream, 2*len(old))
	for i := range old {
		if s := &old[i]; s.live {
			t.slots[int(s.id>>1)&(len(t.slots)-1)] = *s
		}
	}
}

func (t *table) drop(s *stream) {
	s.live = false
	if len(t.kept) > 0 {
		delete(t.kept, s.id)
	}
}

func (t *table) each(f func(*stream)) {
	for i := range t.slots {
		if t.slots[i].live {
			f(&t.slots[i])
		}
	}
	for _, s := range t.kept {
		f(s)
	}
}

// above appends the numbers of up to most streams above last to dst, in order.
func (t *table) above(last uint32, dst []uint32, most int) []uint32 {
	t.each(func(s *stream) {
		if s.id > last {
			dst = append(dst, s.id)
		}
	})
	for i := 1; i < len(dst); i++ { // few
		for j := i; j > 0 && dst[j] < dst[j-1]; j-- {
			dst[j], dst[j-1] = dst[j-1], dst[j]
		}
	}
	return dst[:min(len(dst), most)]
}
