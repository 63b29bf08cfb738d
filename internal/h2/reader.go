package h2

// Handler takes what a Reader finds, in order. What it is lent is valid until it
// returns.
type Handler interface {
	// Headers is a header block, or a pushed one's (f.Type tells): d has it begun,
	// the handler reads it to the end.
	Headers(f Frame, d *Decoder)
	// Data is a piece of the payload of f, padding left out. last: the frame ends
	// with it. missing bytes lie before it that were not captured.
	Data(f Frame, b []byte, missing int, last bool)
	// Control is any other frame; b is its payload, or its first MaxControl bytes.
	Control(f Frame, b []byte)
	// Lost: the place was lost. Frames are missing before the next one.
	Lost()
}

// MaxControl bounds what is kept of a frame that is neither a header block nor
// DATA; a GOAWAY may carry a reason.
const MaxControl = 1 << 10

// Reader reads one direction of a connection from pieces of any size. It keeps
// what a frame's header or a header block needs; DATA passes through.
type Reader struct {
	dec     *Decoder
	h       Handler
	client  bool
	started bool
	synced  bool

	buf   []byte // the beginning of a frame that is not all there
	data  Frame  // the DATA frame that is passing through
	body  int    // bytes of it still to come
	pad   int    // and of its padding
	gap   int    // bytes of it that were missing, to be told with the next piece
	skip  int    // bytes of a frame that nobody needs
	first Frame  // the HEADERS frame that goes on in CONTINUATION
	block []byte
	open  bool // block is being put together
	over  bool // and is larger than MaxBlock: it is dropped

	// LostBytes counts what was passed over while looking for a frame.
	LostBytes uint64
	// Refused counts header blocks that were too long, had too many fields, or
	// could not be decoded.
	Refused uint64
}

// NewReader reads what the client sends, or the server. whole: from the first
// byte of the connection on.
func NewReader(client, whole bool, tags *Tags, h Handler) *Reader {
	return &Reader{dec: NewDecoder(tags), h: h, client: client, synced: whole, started: !whole}
}

// Decoder is the reader's header table.
func (r *Reader) Decoder() *Decoder { return r.dec }

// Missing is told that n bytes are not there.
func (r *Reader) Missing(n uint64) {
	if n == 0 {
		return
	}
	if r.synced && len(r.buf) == 0 {
		if k := min(n, uint64(r.skip)); k > 0 {
			r.skip -= int(k)
			n -= k
		}
		if k := min(n, uint64(r.body)); k > 0 {
			r.body -= int(k)
			r.gap += int(k)
			n -= k
			if r.body == 0 {
				r.piece(nil)
			}
		}
		if k := min(n, uint64(r.pad)); k > 0 {
			r.pad -= int(k)
			n -= k
		}
		if n == 0 {
			return
		}
	}
	r.lose()
}

// lose forgets where it is.
func (r *Reader) lose() {
	r.LostBytes += uint64(len(r.buf))
	*r = Reader{dec: r.dec, h: r.h, client: r.client, started: true, buf: r.buf[:0], block: r.block[:0], LostBytes: r.LostBytes, Refused: r.Refused}
	r.dec.Forget()
	r.h.Lost()
}

// Put reads the next bytes.
func (r *Reader) Put(b []byte) {
	for len(b) > 0 {
		if !r.synced {
			// Frames tend to begin where a write does; what is left over of this one
			// is not kept.
			k := Find(b)
			if k < 0 {
				r.LostBytes += uint64(len(b))
				return
			}
			r.LostBytes += uint64(k)
			r.synced = true
			b = b[k:]
		}
		b = b[r.step(b):]
	}
}

// step reads something from the front of b and returns how much of it is done.
func (r *Reader) step(b []byte) int {
	switch {
	case r.skip > 0:
		k := min(r.skip, len(b))
		r.skip -= k
		return k
	case r.body > 0:
		k := min(r.body, len(b))
		r.body -= k
		r.piece(b[:k])
		return k
	case r.pad > 0:
		k := min(r.pad, len(b))
		r.pad -= k
		return k
	}
	// A whole header, and for most frames the whole frame, in one place.
	if len(r.buf) == 0 {
		if need := r.need(b); len(b) >= need {
			return r.frame(b[:need])
		}
		r.buf = append(r.buf, b...)
		return len(b)
	}
	k := min(r.need(r.buf)-len(r.buf), len(b))
	r.buf = append(r.buf, b[:k]...)
	if len(r.buf) == r.need(r.buf) {
		have := r.buf
		r.buf = r.buf[:0]
		r.frame(have)
	}
	return k
}

// need is how many bytes of the frame at the front of b must be there, as far
// as b tells.
func (r *Reader) need(b []byte) int {
	if r.client && !r.started {
		return len(Preface)
	}
	if len(b) < HeaderLen {
		return HeaderLen
	}
	f := Parse(b)
	switch {
	case f.Type == Data && f.Flags&FlagPadded != 0 && f.Length > 0:
		return HeaderLen + 1
	case f.Type == Data:
		return HeaderLen
	case f.Type == Headers || f.Type == Continuation || f.Type == PushPromise:
		if f.Length > MaxBlock {
			return HeaderLen
		}
		return f.Size()
	}
	return HeaderLen + min(f.Length, MaxControl)
}

// frame takes the frame at the front of b, or the beginning of it that need
// asked for.
func (r *Reader) frame(b []byte) int {
	if r.client && !r.started {
		r.started = true
		if string(b) != Preface {
			r.synced = false
			r.dec.Forget()
			return 0
		}
		return len(b)
	}
	f := Parse(b)
	if !f.Valid() || r.open && f.Type != Continuation {
		r.lose()
		return 1
	}
	p := b[HeaderLen:]
	switch f.Type {
	case Data:
		r.data, r.body, r.pad, r.gap = f, f.Length, 0, 0
		if len(p) > 0 {
			r.pad = int(p[0])
			if r.body -= 1 + r.pad; r.body < 0 {
				r.lose()
				return 1
			}
		}
		if r.body == 0 {
			r.piece(nil)
		}
	case Headers, PushPromise, Continuation:
		r.headers(f, p)
	default:
		r.skip = f.Length - len(p)
		r.h.Control(f, p)
	}
	return len(b)
}

func (r *Reader) piece(b []byte) {
	gap := r.gap
	r.gap = 0
	r.h.Data(r.data, b, gap, r.body == 0)
}

// headers takes a frame of a header block.
func (r *Reader) headers(f Frame, p []byte) {
	if f.Length > MaxBlock {
		r.skip, r.over = f.Length, true
		p = nil
	}
	if f.Type == Continuation {
		if !r.open {
			r.dec.Forget() // its beginning is lost
			return
		}
	} else {
		if data, ok := f.Payload(p); ok {
			p = data
		}
		if f.Type == PushPromise {
			p = p[min(4, len(p)):]
		}
		if f.Flags&FlagEndHeaders != 0 && !r.over {
			r.decode(f, p)
			return
		}
		r.first, r.open, r.block = f, true, r.block[:0]
	}
	if len(r.block)+len(p) > MaxBlock {
		r.over = true
	} else {
		r.block = append(r.block, p...)
	}
	if f.Flags&FlagEndHeaders != 0 {
		r.open = false
		if r.over {
			r.over = false
			r.Refused++
			r.dec.Forget()
			return
		}
		r.decode(r.first, r.block)
	}
}

func (r *Reader) decode(f Frame, block []byte) {
	r.dec.Begin(block)
	r.h.Headers(f, r.dec)
	// What the handler did not ask for is in the block all the same.
	for fd := (Field{}); r.dec.Next(&fd); {
	}
	if r.dec.Err() != nil {
		r.Refused++
	}
}
