package wire

import (
	"strings"
	"unsafe"
)

// TransactionID names a trace: the agent that began it ("" for the sender), when
// that started, and the number of the transaction there.
type TransactionID struct {
	AgentID  string
	Start    int64
	Sequence int64
}

// Span is PSpan, or, if Chunk, PSpanChunk: some of the events of a span.
type Span struct {
	Chunk   bool
	Version int32
	ID      TransactionID
	SpanID  int64
	Events  []Event
	// AppType is applicationServiceType.
	AppType int32
	// EndPoint is where the server listens.
	EndPoint string

	// Of a span.
	Parent      int64 // -1: none
	Start       int64 // ms
	Elapsed     int32
	APIID       int32
	ServiceType int32
	RPC         string
	Remote      string
	ParentApp   string
	ParentType  int32
	Acceptor    string
	ParentSvc   string
	Annotations []Annotation
	Flag        int32
	Err         int32
	Exception   *Exception
	Logging     int32
	Attributes  []string // PAttribute, not decoded: the message of each

	// Of a chunk.
	KeyTime  int64
	Async    bool
	AsyncID  int32
	AsyncSeq int32

	// Cut and CutNotes are how many events, and annotations, were over the limits.
	Cut, CutNotes int

	// notes are the annotations of all events, which have pieces of it.
	notes []Annotation
}

// Event is PSpanEvent.
type Event struct {
	Sequence     int32
	Depth        int32
	StartElapsed int32
	EndElapsed   int32
	ServiceType  int32
	APIID        int32
	Exception    *Exception
	NextSpanID   int64
	EndPoint     string
	Destination  string
	AsyncEvent   int32
	Annotations  []Annotation
	Attributes   []string
}

// Exception is exceptionInfo: the id of the class's name, and the message.
type Exception struct {
	ID      int32
	Message string
	Has     bool // the message may be absent
}

// Decoder reads span messages, and makes new spans of ones that are done with.
// One goroutine owns it. The zero value is ready.
type Decoder struct{ free []*Span }

// Limits of what is kept to be used again.
const (
	keepSpans  = 1 << 15
	keepEvents = 64
)

// Free gives s back: nobody has it, its events or their annotations any more.
// Texts stay what they are.
func (d *Decoder) Free(s *Span) {
	if len(d.free) < keepSpans && cap(s.Events) <= keepEvents && cap(s.notes) <= keepEvents && cap(s.Annotations) <= keepEvents {
		d.free = append(d.free, s)
	}
}

func (d *Decoder) span() *Span {
	n := len(d.free)
	if n == 0 {
		return &Span{}
	}
	s := d.free[n-1]
	d.free = d.free[:n-1]
	clear(s.Events) // they hold on to texts
	clear(s.notes)
	clear(s.Annotations)
	*s = Span{Events: s.Events[:0], notes: s.notes[:0], Annotations: s.Annotations[:0]}
	return s
}

// Piece is a PSpan or a PSpanChunk that is not decoded but for what it belongs
// to.
type Piece struct {
	Raw     string // borrowed, as AgentID of ID is
	Chunk   bool
	Version int32
	ID      TransactionID
	SpanID  int64
	Events  int
}

// Pieces finds the spans in a PSpanMessage (batch false) or a PSpanMessageBatch
// and gives each to f. Texts are lent.
func Pieces(msg []byte, batch bool, f func(*Piece)) error {
	in := fields{s: unsafe.String(unsafe.SliceData(msg), len(msg))}
	if !batch {
		return in.piece(f)
	}
	for in.next() {
		if in.num != 1 {
			continue
		}
		m := in.inner()
		if err := m.piece(f); err != nil {
			return err
		}
	}
	return in.err()
}

func (f *fields) piece(give func(*Piece)) error {
	var p Piece
	some := false
	for f.next() {
		if f.num != 1 && f.num != 2 {
			continue
		}
		p, some = Piece{Raw: f.str(), Chunk: f.num == 2}, true
		events := uint32(13)
		if p.Chunk {
			events = 5
		}
		in := fields{s: p.Raw}
		for in.next() {
			switch in.num {
			case 1:
				p.Version = in.int32()
			case 2:
				p.ID = in.transaction()
			case 3:
				p.SpanID = in.sfixed64()
			case events:
				p.Events++
			}
		}
		f.merge(&in)
	}
	if f.bad {
		return ErrMessage
	}
	if some {
		give(&p)
	}
	return nil
}

// Span decodes a piece; its texts are cut from raw. nil: it is none.
func (d *Decoder) Span(raw string, chunk bool) *Span {
	s := d.span()
	s.Chunk = chunk
	in := fields{s: raw}
	if chunk {
		in.chunk(s)
	} else {
		in.span(s)
	}
	s.Cut, s.CutNotes = in.cut, in.notes
	if in.bad {
		d.Free(s)
		return nil
	}
	return s
}

// DecodeSpans decodes the spans of a PSpanMessage (batch false) or a
// PSpanMessageBatch and gives each to f, which may keep it.
func DecodeSpans(msg []byte, batch bool, f func(*Span)) error {
	bad := false
	err := Pieces(msg, batch, func(p *Piece) {
		if s := new(Decoder).Span(strings.Clone(p.Raw), p.Chunk); s != nil && !bad {
			f(s)
		} else {
			bad = true
		}
	})
	if bad {
		return ErrMessage
	}
	return err
}

func (f *fields) span(s *Span) {
	for f.next() {
		switch f.num {
		case 1:
			s.Version = f.int32()
		case 2:
			s.ID = f.transaction()
		case 3:
			s.SpanID = f.sfixed64()
		case 4:
			s.Parent = f.sfixed64()
		case 5:
			s.Start = f.int64()
		case 6:
			s.Elapsed = f.int32()
		case 7:
			s.APIID = f.int32()
		case 8:
			s.ServiceType = f.int32()
		case 9:
			in := f.inner()
			in.accept(s)
			f.merge(&in)
		case 10:
			s.Annotations = f.annotation(s.Annotations)
		case 11:
			s.Flag = f.int32()
		case 12:
			s.Err = f.sint32()
		case 13:
			f.event(s)
		case 14:
			s.Exception = f.exception()
		case 15:
			s.AppType = f.int32()
		case 16:
			s.Logging = f.int32()
		case 17:
			s.Attributes = append(s.Attributes, f.str())
		}
	}
}

func (f *fields) chunk(s *Span) {
	for f.next() {
		switch f.num {
		case 1:
			s.Version = f.int32()
		case 2:
			s.ID = f.transaction()
		case 3:
			s.SpanID = f.sfixed64()
		case 4:
			s.EndPoint = f.str()
		case 5:
			f.event(s)
		case 6:
			s.AppType = f.int32()
		case 7:
			s.KeyTime = f.int64()
		case 8:
			s.Async = true
			in := f.inner()
			for in.next() {
				switch in.num {
				case 1:
					s.AsyncID = in.int32()
				case 2:
					s.AsyncSeq = in.int32()
				}
			}
			f.merge(&in)
		}
	}
}

func (f *fields) transaction() (t TransactionID) {
	in := f.inner()
	for in.next() {
		switch in.num {
		case 1:
			t.AgentID = in.str()
		case 2:
			t.Start = in.int64()
		case 3:
			t.Sequence = in.int64()
		}
	}
	f.merge(&in)
	return t
}

func (f *fields) accept(s *Span) {
	for f.next() {
		switch f.num {
		case 1:
			s.RPC = f.str()
		case 2:
			s.EndPoint = f.str()
		case 3:
			s.Remote = f.str()
		case 4:
			in := f.inner()
			for in.next() {
				switch in.num {
				case 1:
					s.ParentApp = in.str()
				case 2:
					s.ParentType = in.int32()
				case 3:
					s.Acceptor = in.str()
				case 4:
					s.ParentSvc = in.str()
				}
			}
			f.merge(&in)
		}
	}
}

func (f *fields) exception() *Exception {
	e := &Exception{}
	in := f.inner()
	for in.next() {
		switch in.num {
		case 1:
			e.ID = in.int32()
		case 2:
			e.Message, e.Has = in.wrapped(), true
		}
	}
	f.merge(&in)
	return e
}

// wrapped is the text of a google.protobuf.StringValue.
func (f *fields) wrapped() (s string) {
	in := f.inner()
	for in.next() {
		if in.num == 1 {
			s = in.str()
		}
	}
	f.merge(&in)
	return s
}

func (f *fields) event(s *Span) {
	in := f.inner()
	if len(s.Events) >= MaxEvents {
		f.cut++
		return
	}
	s.Events = append(s.Events, Event{})
	e := &s.Events[len(s.Events)-1]
	notes := s.notes[len(s.notes):]
	for in.next() {
		switch in.num {
		case 1:
			e.Sequence = in.int32()
		case 2:
			e.Depth = in.int32()
		case 3:
			e.StartElapsed = in.int32()
		case 4:
			e.EndElapsed = in.int32()
		case 5:
			e.ServiceType = in.sint32()
		case 6:
			notes = in.annotation(notes)
		case 10:
			e.APIID = in.sint32()
		case 11:
			e.Exception = in.exception()
		case 12:
			next := in.inner()
			for next.next() {
				if next.num == 1 {
					m := next.inner()
					m.message(e)
					next.merge(&m)
				}
			}
			in.merge(&next)
		case 13:
			e.AsyncEvent = in.int32()
		case 14:
			e.Attributes = append(e.Attributes, in.str())
		}
	}
	if len(notes) > 0 {
		// Beyond the room of s.notes they have an array of their own.
		e.Annotations = notes[:len(notes):len(notes)]
		if n := len(s.notes); cap(s.notes)-n >= len(notes) {
			s.notes = s.notes[:n+len(notes)]
		} else {
			s.notes = append(s.notes, notes...)
		}
	}
	f.merge(&in)
}

func (f *fields) message(e *Event) {
	for f.next() {
		switch f.num {
		case 1:
			e.NextSpanID = f.sfixed64()
		case 2:
			e.EndPoint = f.str()
		case 3:
			e.Destination = f.str()
		}
	}
}

// Agent is the agent part of the id, of a span that sender sent.
func (t TransactionID) Agent(sender string) string {
	if t.AgentID == "" {
		return sender
	}
	return t.AgentID
}
