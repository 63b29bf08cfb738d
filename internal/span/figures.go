package span

import (
	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/inplace"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// The keys of an exchange and its numbers are written together: which of them a
// span has differs little, so their names and types are copied from a frame, and
// only the values are put in. One by one they were a sixth of what a span costs.

// The figures, in the order of their attributes. Those before figureTexts are text.
const (
	figureXID = iota
	figureLID
	figureSeqRequest
	figureSeqResponse
	figureTraceRequest
	figureTraceResponse
	figureThreadRequest
	figureThreadResponse
	figureCoroutineRequest
	figureCoroutineResponse
	figureCapRequest
	figureCapResponse
	figureRequestBytes
	figureResponseBytes
	figureRequestEnd
	figureResponseStart
	figureResponseBody
	figures
	figureTexts = figureSeqRequest
)

var figureNames = [figures]string{
	figureXID: semconv.ExchangeXID, figureLID: semconv.ExchangeLID,
	figureSeqRequest: semconv.TCPSeqRequest, figureSeqResponse: semconv.TCPSeqResponse,
	figureTraceRequest: semconv.SyscallTraceIDRequest, figureTraceResponse: semconv.SyscallTraceIDResponse,
	figureThreadRequest: semconv.SyscallThreadRequest, figureThreadResponse: semconv.SyscallThreadResponse,
	figureCoroutineRequest: semconv.SyscallCoroutineRequest, figureCoroutineResponse: semconv.SyscallCoroutineResponse,
	figureCapRequest: semconv.SyscallCapSeqRequest, figureCapResponse: semconv.SyscallCapSeqResponse,
	figureRequestBytes: semconv.RequestBytes, figureResponseBytes: semconv.ResponseBytes,
	figureRequestEnd: semconv.RequestEnd, figureResponseStart: semconv.ResponseStart, figureResponseBody: semconv.ResponseBody,
}

// numbers are those figures that a span has, in order.
type numbers struct {
	v    [32]int64 // room for all, and a power of two
	n    uint
	have uint32 // a bit for each figure, the texts too
}

func (f *numbers) add(figure uint, n int64) {
	f.v[f.n%uint(len(f.v))] = n
	f.n++
	f.have |= 1 << figure
}

// some leaves out zero.
func (f *numbers) some(figure uint, n int64) {
	f.v[f.n%uint(len(f.v))] = n
	if n != 0 {
		f.n++
		f.have |= 1 << figure
	}
}

// frame is the names and types of some figures.
type frame struct {
	have    uint32
	kv      []inplace.KeyValue
	lengths uint64 // as writer.lengths
}

// frameSlots bounds how many are remembered: a host has a handful.
const frameSlots = 32

// frame is that of the figures of have.
func (b *Builder) frame(have uint32) *frame {
	f := &b.frames[have*0x9e3779b1>>27]
	if f.have == have {
		return f
	}
	f.have, f.kv, f.lengths = have, f.kv[:0], 0
	for i, name := range figureNames {
		if have&(1<<i) == 0 {
			continue
		}
		kv := inplace.KeyValue{Key: name, Type: b.w.Types.Num}
		if i < figureTexts {
			kv.Type = b.w.Types.Str
		}
		f.kv = append(f.kv, kv)
		f.lengths |= 1 << (len(name) & 63)
	}
	return f
}

// figures writes the keys of l and the numbers of its exchange: how hops and
// exchanges find each other, how much was said, and when.
func (b *Builder) figures(l *cause.Linked) {
	x := l.Exchange
	f := &b.numbers
	f.n, f.have = 0, 0
	back := x.OneWay && x.FromServer // it is in Req all the same
	if x.Conn.Transport == l7.TCP && x.Conn.Family != stream.Unix {
		if back {
			f.add(figureSeqResponse, int64(x.Req.Seq))
		} else {
			f.add(figureSeqRequest, int64(x.Req.Seq))
		}
		if x.Resp.Seen && !back {
			f.add(figureSeqResponse, int64(x.Resp.Seq))
		}
	}
	req, resp := &x.Req.Ctx, &x.Resp.Ctx
	if back {
		req, resp = resp, req
	}
	f.some(figureTraceRequest, int64(req.SyscallTraceID))
	f.some(figureTraceResponse, int64(resp.SyscallTraceID))
	f.some(figureThreadRequest, int64(req.Tid))
	f.some(figureThreadResponse, int64(resp.Tid))
	f.some(figureCoroutineRequest, int64(req.Goid))
	f.some(figureCoroutineResponse, int64(resp.Goid))
	f.some(figureCapRequest, int64(req.CapSeq))
	f.some(figureCapResponse, int64(resp.CapSeq))
	f.sizes(x, back)

	var hex [32]byte
	text := hex[:0]
	if l.XID != 0 {
		text, f.have = l.XID.Hex(text), f.have|1<<figureXID
	}
	if l.LID != 0 {
		text, f.have = l.LID.Hex(text), f.have|1<<figureLID
	}
	b.w.framed(b.frame(f.have), b.text.Copy(text), f.v[:f.n])
}

// sizes: how much was said, and when.
func (f *numbers) sizes(x *session.Exchange, back bool) {
	switch {
	case back:
		f.add(figureResponseBytes, int64(x.Req.Bytes))
	case x.Resp.Seen:
		f.add(figureRequestBytes, int64(x.Req.Bytes))
		f.add(figureResponseBytes, int64(x.Resp.Bytes))
		f.add(figureRequestEnd, x.Req.End)
		f.add(figureResponseStart, x.Resp.Start)
		if x.Resp.Msg.Timed && x.Resp.Body != 0 {
			f.add(figureResponseBody, x.Resp.Body)
		}
	default:
		f.add(figureRequestBytes, int64(x.Req.Bytes))
		f.add(figureRequestEnd, x.Req.End)
	}
}

// keyDigits is how long the text of a key is.
const keyDigits = 16

// framed writes the attributes of f: those that are text have keyDigits of text
// each, the others a number each.
func (w *writer) framed(f *frame, text string, num []int64) {
	if len(w.kv)-w.n < len(f.kv) {
		w.room(len(f.kv))
	}
	to := w.kv[w.n:]
	to = to[:copy(to, f.kv)]
	w.n += len(to)
	w.lengths |= f.lengths
	for ; len(text) >= keyDigits && len(to) > 0; text, to = text[keyDigits:], to[1:] {
		w.Text(&to[0], text[:keyDigits])
	}
	w.Numbers(to, num)
}
