package convert

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Ids are made of what messages say, so that any collector, and any tool that
// knows a Pinpoint header, makes the same:
//
//	trace:  SHA-256("agent^start^sequence")[:16]
//	PSpan:  its spanId, big-endian; of queue consumers, which share spanIds,
//	        SHA-256("Q|tx|spanId|agent|start")[:8]
//	event:  SHA-256 of "N|tx|nextSpanId" if it calls another application, of
//	        "A|tx|spanId|asyncId" if it begins asynchronous work, else of
//	        "E|tx|spanId|asyncId|asyncSequence|sequence", [:8]
//
// A PSpan's parent is rule N of its own spanId: the event that called it.
type ids struct {
	tx  string
	buf []byte
}

// transactionID is the text of a transaction's id.
func transactionID(agent string, start, sequence int64) string {
	b := make([]byte, 0, len(agent)+42)
	b = append(b, agent...)
	b = append(b, '^')
	b = strconv.AppendInt(b, start, 10)
	b = append(b, '^')
	b = strconv.AppendInt(b, sequence, 10)
	return string(b)
}

func traceID(tx string) (id pcommon.TraceID) {
	sum := sha256.Sum256([]byte(tx))
	copy(id[:], sum[:])
	return id
}

// plain is a spanId as it is.
func plain(spanID int64) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], uint64(spanID))
	if spanID == 0 {
		id[7] = 1 // all zero is no id
	}
	return id
}

func (i *ids) rule(name byte, n ...int64) (id pcommon.SpanID) {
	b := append(i.buf[:0], name, '|')
	b = append(b, i.tx...)
	for _, v := range n {
		b = append(b, '|')
		b = strconv.AppendInt(b, v, 10)
	}
	i.buf = b
	return sum8(b)
}

func (i *ids) consumer(spanID int64, agent string, start int64) pcommon.SpanID {
	b := append(i.buf[:0], "Q|"...)
	b = append(b, i.tx...)
	b = append(b, '|')
	b = strconv.AppendInt(b, spanID, 10)
	b = append(b, '|')
	b = append(b, agent...)
	b = append(b, '|')
	b = strconv.AppendInt(b, start, 10)
	i.buf = b
	return sum8(b)
}

func sum8(b []byte) (id pcommon.SpanID) {
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	if id.IsEmpty() {
		id[7] = 1
	}
	return id
}

// callee reports whether a nextSpanId names one.
func callee(next int64) bool { return next != 0 && next != -1 }
