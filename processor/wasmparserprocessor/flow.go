package wasmparserprocessor

import (
	"container/list"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// flowKey names a connection as one place saw it.
type flowKey struct{ host, id string }

// flow is what is known of a connection whose protocol only a plugin knows.
type flow struct {
	key  flowKey
	elem *list.Element
	seen time.Time

	// guest is who knows it, -1 while nobody does; looks is how often none did.
	guest  int
	number uint8
	name   string
	flip   bool // the plugin says that the sides are the other way round
	looks  int
	state  []byte

	lanes [2]lane
	// byID and fifo are the requests that wait for an answer.
	byID map[string]*exchange
	fifo []*exchange
	// unsure: something is missing, so that nobody knows which request the next
	// answer without an id is for. It ends with a silence in which all that waited
	// has been given up.
	unsure bool

	resource pcommon.Resource
	scope    pcommon.InstrumentationScope
}

// lane is what one end says.
type lane struct {
	started bool
	next    uint64 // position of the next byte
	skip    uint64 // bytes of a message that was found already
	buf     []byte // what is not a whole message yet
	marks   []mark // where each chunk begins that buf has a part of
}

// mark is a chunk: the span that it came as.
type mark struct {
	pos  uint64
	span ptrace.Span
}

// exchange is a request that waits for its answer.
type exchange struct {
	span            ptrace.Span
	id              string
	since           time.Time
	reqEnd, respEnd bool
	answered        bool
}

// flows is all of them, the one silent longest first. mu is held while a batch
// that has unparsed messages is read, and by the clock.
type flows struct {
	cfg   UnparsedConfig
	mu    sync.Mutex
	byKey map[flowKey]*flow
	order *list.List
	bytes int // of all lanes
	open  int // exchanges of all flows
}

func newFlows(cfg UnparsedConfig) *flows {
	return &flows{cfg: cfg, byKey: map[flowKey]*flow{}, order: list.New()}
}

// get finds or makes the flow, which is the youngest then.
func (t *flows) get(key flowKey, now time.Time) *flow {
	f := t.byKey[key]
	if f == nil {
		f = &flow{key: key, guest: -1, seen: now, state: []byte{}}
		f.elem = t.order.PushBack(f)
		t.byKey[key] = f
		return f
	}
	t.order.MoveToBack(f.elem)
	return f
}

// over is the oldest flow while there is too much of something.
func (t *flows) over() *flow {
	if t.order.Len() <= 1 || t.order.Len() <= t.cfg.MaxFlows && t.bytes <= t.cfg.MaxBytes && t.open <= t.cfg.MaxOpen {
		return nil
	}
	return t.order.Front().Value.(*flow)
}

// remove forgets f. What was open is the caller's.
func (t *flows) remove(f *flow) (open []*exchange) {
	open = f.drain(t)
	for i := range f.lanes {
		t.clear(&f.lanes[i])
	}
	t.order.Remove(f.elem)
	delete(t.byKey, f.key)
	return open
}

// drain takes all that waits for an answer.
func (f *flow) drain(t *flows) (open []*exchange) {
	open = append(open, f.fifo...)
	for _, x := range f.byID {
		open = append(open, x)
	}
	t.open -= len(open)
	f.fifo, f.byID = nil, nil
	return open
}

// clear forgets what the lane has kept.
func (t *flows) clear(l *lane) {
	t.bytes -= l.size()
	l.buf, l.marks = nil, nil
}

// size is what the lane is accounted for.
func (l *lane) size() int { return len(l.buf) + markBytes*len(l.marks) }

const (
	// maxMarks bounds the chunks that a lane remembers: a message that begins
	// behind them is said to have come with the last one.
	maxMarks = 64
	// markBytes is about what a span takes without its payload.
	markBytes = 2 << 10
)

// add appends a chunk's bytes.
func (t *flows) add(l *lane, b []byte, m mark) {
	t.bytes -= l.size()
	l.buf = append(l.buf, b...)
	if len(l.marks) < maxMarks {
		l.marks = append(l.marks, m)
	}
	t.bytes += l.size()
}

// took drops n bytes from the front of what the lane has; what is not there yet
// is passed over when it comes.
func (t *flows) took(l *lane, n uint64) {
	if n >= uint64(len(l.buf)) {
		l.skip = n - uint64(len(l.buf))
		t.clear(l)
		return
	}
	first := l.next - uint64(len(l.buf)) + n
	t.bytes -= l.size()
	l.buf = append(l.buf[:0], l.buf[n:]...)
	k := 0
	for k+1 < len(l.marks) && l.marks[k+1].pos <= first {
		k++
	}
	l.marks = append(l.marks[:0], l.marks[k:]...)
	t.bytes += l.size()
}

// at is the chunk that the byte at pos came with.
func (l *lane) at(pos uint64) mark {
	i := len(l.marks) - 1
	for i > 0 && l.marks[i].pos > pos {
		i--
	}
	return l.marks[i]
}
