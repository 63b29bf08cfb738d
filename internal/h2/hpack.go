package h2

import (
	"errors"
	"strings"
	"unsafe"
)

const staticLen = 61

// Limits of a decoder.
const (
	// DefaultTable is what a dynamic table holds until somebody says otherwise.
	DefaultTable = 4096
	// MaxTable bounds what is kept of a dynamic table: browsers, nginx and Netty
	// ask for 64 KiB at most. Of a larger one the older entries are unknown.
	MaxTable = 64 << 10
	// MaxFields bounds the fields of one block: an index of one byte can name an
	// entry of kilobytes.
	MaxFields = 1024
	// MaxBlock bounds one header block, over all its frames.
	MaxBlock = 64 << 10
)

// Errors of a header block.
var (
	ErrBlock  = errors.New("h2: header block breaks HPACK's rules")
	ErrShort  = errors.New("h2: header block is cut")
	ErrFields = errors.New("h2: header block has too many fields")
)

// Field is one header. Name or Value is "" and not known where it stands in a
// part of the dynamic table that was filled unseen.
type Field struct {
	Name, Value           string
	NameKnown, ValueKnown bool
	// NameKept, ValueKept: the string stays valid. Else it is a view of the
	// block, gone with the next field.
	NameKept, ValueKept bool
	// Tag is what the owner's Tags make of the name; 0 for a name not known.
	Tag uint8
	// Entry names the dynamic table entry that the field, or its name, came
	// from, if Dynamic: the number of the entry in order of insertion, negative
	// for entries older than what was seen. As long as Epoch stays, equal
	// numbers mean equal fields.
	Entry   int64
	Dynamic bool
}

// Tags gives header names small numbers, once per table entry instead of once
// per request.
type Tags struct {
	static [staticLen + 1]uint8
	of     func(name string) uint8
}

// NewTags makes tags of f; 0 should mean any other name.
func NewTags(f func(name string) uint8) *Tags {
	t := &Tags{of: f}
	for i := 1; i <= staticLen; i++ {
		t.static[i] = f(staticTable[i][0])
	}
	return t
}

// entry of the dynamic table.
type entry struct {
	name, value           string
	size                  uint32
	tag                   uint8
	nameKnown, valueKnown bool
}

// Decoder reads the header blocks of one direction of a connection, in order.
//
// An index counts back from the newest entry, so after a hole what is inserted
// afterwards is known, and what lies behind it is not. Evictions matter little:
// an encoder never names an entry that it evicted, and one kept too long is
// never asked for. So sizes that cannot be known (an entry whose name is not,
// a table size agreed upon unseen) do no harm.
type Decoder struct {
	tags    *Tags
	entries []entry // a ring; its length is a power of two
	head    int     // where the newest is
	n       int
	size    int
	max     int
	// inserted counts entries since the last Forget; Epoch counts those.
	inserted int64
	epoch    uint32
	told     bool // max is the encoder's word
	// blank: there may be entries behind the known ones.
	blank bool

	b       []byte
	at      int // where in b the next field begins
	fields  int
	err     error
	scratch []byte
	kept    []byte // see keep

	// Unknown counts fields, or their names, that the table could not tell.
	Unknown uint64
}

// NewDecoder makes a decoder for a direction that is read from its first byte;
// call Forget if it is not.
func NewDecoder(tags *Tags) *Decoder {
	d := &Decoder{}
	d.Init(tags)
	return d
}

// Init makes an empty Decoder what NewDecoder makes.
func (d *Decoder) Init(tags *Tags) { d.tags, d.max = tags, DefaultTable }

// State tells what a block means: while it is the same, so is what equal blocks
// say.
type State struct {
	inserted  int64
	epoch     uint32
	max, size int
}

// State is that of now.
func (d *Decoder) State() State { return State{d.inserted, d.epoch, d.max, d.size} }

// Forget is told that blocks may have been missed: all that was in the table is
// unknown.
func (d *Decoder) Forget() {
	for i := range d.entries {
		d.entries[i] = entry{}
	}
	d.n, d.size, d.inserted = 0, 0, 0
	d.epoch++
	d.blank = true
	d.b, d.at, d.err = nil, 0, nil
}

// Epoch changes when entry numbers lose their meaning.
func (d *Decoder) Epoch() uint32 { return d.epoch }

// Whole reports whether every entry of the table is known.
func (d *Decoder) Whole() bool { return !d.blank }

// Begin starts reading block, which must stay as it is until the last Next.
func (d *Decoder) Begin(block []byte) {
	d.b, d.at, d.err, d.fields = block, 0, nil, 0
}

// Err is what ended the block early. The table is forgotten then.
func (d *Decoder) Err() error { return d.err }

// Next reads the next field of the block into f.
func (d *Decoder) Next(f *Field) bool {
	for d.at < len(d.b) {
		c := d.b[d.at]
		switch {
		case c&0x80 != 0: // indexed
			i, ok := d.number(7)
			if !ok || i == 0 {
				return d.fail(ok)
			}
			if !d.count() {
				return false
			}
			d.lookup(i, f)
			if !f.ValueKnown {
				d.Unknown++
			}
			return true
		case c&0x40 != 0: // literal, goes into the table
			if !d.count() || !d.literal(6, true, f) {
				return false
			}
			return true
		case c&0x20 != 0: // table size
			n, ok := d.number(5)
			if !ok {
				return d.fail(ok)
			}
			d.resize(n)
		default: // literal, stays out of it
			if !d.count() || !d.literal(4, false, f) {
				return false
			}
			return true
		}
	}
	return false
}

func (d *Decoder) count() bool {
	if d.fields++; d.fields > MaxFields {
		d.stop(ErrFields)
		return false
	}
	return true
}

// fail ends the block; whole: its bytes were all there.
func (d *Decoder) fail(whole bool) bool {
	if whole {
		d.stop(ErrBlock)
	} else {
		d.stop(ErrShort)
	}
	return false
}

func (d *Decoder) stop(err error) {
	d.Forget()
	d.err = err
}

// lookup fills f with entry i.
func (d *Decoder) lookup(i uint64, f *Field) {
	if i <= staticLen {
		s := &staticTable[i]
		f.Name, f.Value = s[0], s[1]
		f.NameKnown, f.ValueKnown, f.NameKept, f.ValueKept = true, true, true, true
		f.Tag, f.Entry, f.Dynamic = 0, 0, false
		if d.tags != nil {
			f.Tag = d.tags.static[i]
		}
		return
	}
	i -= staticLen + 1
	f.Entry, f.Dynamic = d.inserted-1-int64(i), true
	if i >= uint64(d.n) {
		*f = Field{Entry: f.Entry, Dynamic: true}
		if i < uint64(d.inserted) && !d.told {
			// Named, though evicted here: the two ends agreed upon a larger table
			// before anybody looked.
			d.max = MaxTable
		}
		return
	}
	e := &d.entries[(d.head-int(i))&(len(d.entries)-1)]
	f.Name, f.Value, f.Tag = e.name, e.value, e.tag
	f.NameKnown, f.ValueKnown = e.nameKnown, e.valueKnown
	f.NameKept, f.ValueKept = true, true
}

// literal reads a field whose name may be an index, and whose value is there.
func (d *Decoder) literal(prefix uint, keep bool, f *Field) bool {
	i, ok := d.number(prefix)
	if !ok {
		return d.fail(false)
	}
	d.scratch = d.scratch[:0]
	if i != 0 {
		d.lookup(i, f)
		if !f.NameKnown {
			d.Unknown++
		}
	} else {
		name, whole, ok := d.text()
		if !ok {
			return d.fail(whole)
		}
		*f = Field{Name: view(name), NameKnown: true}
		if d.tags != nil {
			f.Tag = d.tags.of(f.Name)
		}
	}
	value, whole, ok := d.text()
	if !ok {
		return d.fail(whole)
	}
	f.Value, f.ValueKnown, f.ValueKept = view(value), true, false
	if keep {
		d.insert(f)
	}
	return true
}

// number reads an integer with a prefix of that many bits. The largest that
// means anything is the length of a string: 32 bits are more than enough.
func (d *Decoder) number(prefix uint) (uint64, bool) {
	mask := uint64(1)<<prefix - 1
	v := uint64(d.b[d.at]) & mask
	if v < mask {
		d.at++
		return v, true
	}
	b := d.b[d.at:]
	for i, shift := 1, uint(0); i < len(b) && i <= 5; i, shift = i+1, shift+7 {
		c := b[i]
		v += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			d.at += i + 1
			return v, true
		}
	}
	return 0, false
}

// text reads a string: a view of the block, or of the scratch.
func (d *Decoder) text() (s []byte, whole, ok bool) {
	if d.at >= len(d.b) {
		return nil, false, false
	}
	coded := d.b[d.at]&0x80 != 0
	n, ok := d.number(7)
	if !ok || n > uint64(len(d.b)-d.at) {
		return nil, false, false
	}
	end := d.at + int(n)
	s = d.b[d.at:end:end]
	d.at = end
	if !coded {
		return s, true, true
	}
	from := len(d.scratch)
	if cap(d.scratch)-from < int(n)*2 {
		// The name of this field may lie in the old scratch: it stays as it is.
		d.scratch = append(make([]byte, 0, max(256, 2*cap(d.scratch), from+2*int(n))), d.scratch...)
	}
	out, ok := huffman(d.scratch, s)
	if cap(out) == cap(d.scratch) {
		d.scratch = d.scratch[:len(out)] // no pointer to write
	} else {
		d.scratch = out
	}
	return out[from:len(out):len(out)], true, ok
}

// insert puts f at the front of the table, and gives it strings that stay.
func (d *Decoder) insert(f *Field) {
	e := entry{nameKnown: f.NameKnown, valueKnown: true, tag: f.Tag}
	size := len(f.Name) + len(f.Value) + 32
	if size > MaxTable {
		// It counts, since indices count, but it is not kept.
		e, size = entry{}, 0
	} else if k := d.recent(f, uint32(size)); k != nil {
		e.name, e.value = k.name, k.value
		f.Name, f.Value, f.NameKept, f.ValueKept = e.name, e.value, true, true
	} else {
		e.value = d.keep(f.Value)
		if e.name = f.Name; !f.NameKept {
			e.name = d.keep(f.Name)
		}
		f.Name, f.Value, f.NameKept, f.ValueKept = e.name, e.value, true, true
	}
	e.size = uint32(size)
	for d.n > 0 && d.size+size > d.max {
		d.evict()
	}
	if d.n == len(d.entries) {
		d.grow()
	}
	d.head = (d.head + 1) & (len(d.entries) - 1)
	d.entries[d.head] = e
	d.n++
	d.size += size
	d.inserted++
}

// keepChunk is how much is taken from the heap at a time for the strings of
// entries, which come and go in order: some ten short ones.
const keepChunk = 256

// keep is s as a string that stays.
func (d *Decoder) keep(s string) string {
	if len(s) == 0 {
		return ""
	}
	if len(s) > keepChunk/4 {
		return strings.Clone(s)
	}
	if len(s) > len(d.kept) {
		d.kept = make([]byte, keepChunk)
	}
	b := d.kept[:len(s):len(s)]
	d.kept = d.kept[len(s):]
	copy(b, s)
	return view(b)
}

// recent is the entry of the same field among the last ones: some encoders
// insert what they have inserted for the message before. size is what the field
// counts for.
func (d *Decoder) recent(f *Field, size uint32) *entry {
	const looked = 8 // more than such messages have
	for i := range min(d.n, looked) {
		e := &d.entries[(d.head-i)&(len(d.entries)-1)]
		if e.size == size && e.nameKnown && e.valueKnown && e.value == f.Value && e.name == f.Name {
			return e
		}
	}
	return nil
}

func (d *Decoder) evict() {
	e := &d.entries[(d.head-d.n+1)&(len(d.entries)-1)]
	d.size -= int(e.size)
	*e = entry{}
	d.n--
	// The encoder has filled its table since, if it is not larger than ours.
	d.blank = false
}

func (d *Decoder) grow() {
	old := d.entries
	d.entries = make([]entry, max(16, 2*len(old)))
	for i := range d.n {
		d.entries[(d.n-1-i)&(len(d.entries)-1)] = old[(d.head-i)&(len(old)-1)]
	}
	d.head = max(d.n-1, 0)
}

// resize follows the encoder's word of how much it keeps.
func (d *Decoder) resize(n uint64) {
	d.max, d.told = int(min(n, MaxTable)), n <= MaxTable
	for d.n > 0 && d.size > d.max {
		d.evict()
	}
	if n == 0 {
		d.blank = false
	}
}

// view is b as a string without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
