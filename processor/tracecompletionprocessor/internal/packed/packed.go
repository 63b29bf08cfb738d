// Package packed keeps spans in a tenth of the memory that pdata takes for them,
// and in few pieces that the collector of garbage need not look into, until they
// are wanted as pdata again.
//
// A packed batch is its spans one after the other in one slice of bytes, and the
// dictionary that it refers to: strings that come again, resources and scopes. A
// Packer begins a new dictionary when one is full; the batches that refer to it
// keep it, so nothing is counted and nothing is taken out of one.
//
// # Format
//
// It lives in memory only and may change with any version. u is an unsigned
// number in base 128 as in protobuf, s a signed one (zigzag), bytes and text are
// as they are; "text" is a value that is a string (8, 9, 10, 16 and up).
//
//	batch     { run }
//	run       u resource, u scope, u number of spans, { span }
//	span      u what follows (the bits below),
//	          [trace id 16]      unless bit 0: it is that of the span before
//	          span id 8
//	          [parent id 8]      bit 1
//	          s start            less that of the span before
//	          s end              less start
//	          s kind, text name, map
//	          [text trace state] bit 2
//	          [u flags]          bit 3
//	          [u u u]            bit 4: attributes, events and links dropped
//	          [s code, text]     bit 5: status
//	          [u, { event }]     bit 6
//	          [u, { link }]      bit 7
//	event     s time less start, text name, u dropped attributes, map
//	link      trace id 16, span id 8, text trace state, u flags, u dropped attributes, map
//	map       u number, { key, value }
//	key       u word; 0: text
//	value     a byte, and then by it
//	            0 nothing   1 false   2 true
//	            3 s         4 float64, 8 bytes   5 u length, bytes
//	            6 u number, { value }            7 map
//	            8 u length, text
//	            9 u length, bytes: a text of their hexadecimal digits
//	           10 u word
//	           16 and up: word 0 and up
//
// What has no place in it (values that only profiles have), and everything if
// pdata is not as internal/inplace knows it, stays pdata.
package packed

import (
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Bits of a span.
const (
	hasSameTrace = 1 << iota
	hasParent
	hasState
	hasFlags
	hasDropped
	hasStatus
	hasEvents
	hasLinks
)

// Values.
const (
	isNothing = iota
	isFalse
	isTrue
	isInt
	isDouble
	isBytes
	isSlice
	isMap
	isText
	isHex
	isWord
	isWords = 16
)

// Batch is spans, packed. It is not changed any more; several goroutines may
// unpack one.
type Batch struct {
	b     []byte
	dict  view
	spans int
	size  int64
	// td is the spans where they were not packed.
	td ptrace.Traces
}

// Len is how many spans it has.
func (b *Batch) Len() int { return b.spans }

// Size is the bytes that it takes, with what it has added to its dictionary.
func (b *Batch) Size() int64 { return b.size }
