package kafka

import (
	"slices"

	"github.com/hopscope/hopscope/internal/l7"
)

// batches is what the record batches of a body say.
type batches struct {
	opts   *l7.Options
	text   *l7.Text
	trace  l7.Trace
	agree  bool   // every record seen so far says the same
	some   bool   // a record was seen
	heads  []byte // the headers of the first record
	kind   l7.Type
	found  []l7.Attr // what rules found in every record so far
	count  int64
	whole  bool // count is of all batches, not only of those in the window
	codec  byte // compression of the first batch
	base   int64
	hasOne bool // a batch was seen: base and codec are its
}

// Compression codecs, https://kafka.apache.org/documentation/#recordbatch.
var codecs = [...]string{1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

// batchHead is the length of a batch (v2) before its records.
const batchHead = 61

// read looks through the records field b; cut says that the field goes on
// beyond b.
func (r *batches) read(b []byte, cut bool) {
	for len(b) >= 17 {
		c := l7.NewCursor(b)
		base := int64(c.U64())
		size := int64(int32(c.U32()))
		c.Skip(4) // leader epoch; before v2: CRC
		magic := c.U8()
		if magic > 2 || size < 14 {
			r.whole = false
			return
		}
		if magic < 2 { // a message set: keys and values, no headers
			attrs := c.U8()
			if c.Short() {
				break
			}
			r.first(base, attrs)
			if attrs&7 != 0 {
				r.whole = false // a compressed message holds several
			}
			r.count++
			r.agree = false
		} else {
			c.Skip(4) // CRC
			attrs := c.U16()
			c.Skip(4 + 8 + 8 + 8 + 2 + 4)
			n := int64(int32(c.U32()))
			if c.Short() || n < 0 {
				break
			}
			if attrs&0x20 == 0 { // not a transaction marker
				r.first(base, byte(attrs))
				r.count += n
				r.agree = r.agree && attrs&7 == 0 && r.records(&c, n, size-(batchHead-12))
			}
		}
		next := 12 + size
		if next >= int64(len(b)) {
			if next > int64(len(b)) && cut {
				r.whole = false
			}
			return
		}
		b = b[next:]
	}
	// A broker may cut the last batch of an answer short: that is not counted.
	if cut {
		r.whole = false
	}
}

func (r *batches) first(base int64, attrs byte) {
	if !r.hasOne {
		r.hasOne, r.base, r.codec = true, base, attrs&7
	}
}

// records reads the headers of n records in size bytes; it reports whether all
// were there and say the same.
func (r *batches) records(c *l7.Cursor, n, size int64) bool {
	c.Keep(int(max(min(size, int64(c.Len())), 0)))
	for ; n > 0; n-- {
		length := c.Varint()
		if length <= 0 || length > int64(c.Len()) {
			return false
		}
		rec := l7.NewCursor(c.Take(int(length)))
		rec.Skip(1)
		rec.Varint()
		rec.Varint()
		field(&rec)
		field(&rec)
		heads := rec.Rest()
		if r.some && string(heads) == string(r.heads) {
			continue
		}
		var t l7.Trace
		for h := rec.Varint(); h > 0 && !rec.Short(); h-- {
			k := field(&rec)
			v := field(&rec)
			if !rec.Short() {
				r.opts.Propagation.Header(&t, r.text, k, v)
			}
		}
		if rec.Short() {
			return false
		}
		if r.some && t != r.trace {
			return false // several traces in one request: it belongs to none of them
		}
		if r.opts.Extract != nil {
			r.extract(heads)
		}
		if !r.some {
			r.some, r.trace, r.heads = true, t, heads
		}
	}
	return true
}

// extract shows the headers of one record to the rules. What they find counts if
// they find the same in every record.
func (r *batches) extract(heads []byte) {
	one := l7.Message{Text: r.text, Type: r.kind}
	c := l7.NewCursor(heads)
	for h := c.Varint(); h > 0 && !c.Short(); h-- {
		k := field(&c)
		v := field(&c)
		if !c.Short() {
			r.opts.Extract.Header(&one, k, v)
		}
	}
	if !r.some {
		r.found = one.Attrs
		return
	}
	r.found = slices.DeleteFunc(r.found, func(a l7.Attr) bool { return !slices.Contains(one.Attrs, a) })
}

// field is a length and so many bytes; -1 is null.
func field(c *l7.Cursor) []byte {
	n := c.Varint()
	if n < 0 {
		return nil
	}
	if n > int64(c.Len()) {
		c.Fail()
		return nil
	}
	return c.Take(int(n))
}
