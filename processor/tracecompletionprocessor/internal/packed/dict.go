package packed

import (
	"hash/maphash"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Bounds of a dictionary. They are small, because of it somebody who keeps one
// attribute may keep all.
const (
	maxWords  = 2048
	maxText   = 128 << 10 // bytes of all words
	maxWord   = 4096      // bytes of one
	maxOrigin = 512       // resources, and scopes
)

// word is the number of a string. 0 is none.
type word uint16

// view is what batches have of a dictionary. What is there stays as it is, so it
// can be read while the Packer adds more.
type view struct {
	// words is of its full length at once: values of attributes point into it.
	words     *[maxWords]string
	resources []resource
	scopes    []scope
}

// dict is a dictionary that is added to.
type dict struct {
	view
	n      int // used of words
	text   int // bytes of them
	index  map[string]word
	byBody map[string]int // resources by what identifies them, scopes likewise
	// next is the key that followed a key last time, last the value that it had.
	next, last [maxWords]word
}

// resource is one, with its schema URL.
type resource struct {
	pcommon.Resource
	url string
}

// scope is one, with its schema URL.
type scope struct {
	pcommon.InstrumentationScope
	url string
}

func newDict() *dict {
	return &dict{view: view{words: new([maxWords]string)}, n: 1, index: map[string]word{}, byBody: map[string]int{}}
}

func (d *dict) full() bool {
	return d.n >= maxWords*7/8 || d.text >= maxText || len(d.resources) >= maxOrigin || len(d.scopes) >= maxOrigin
}

// Costs of what a dictionary has, beside the text.
const (
	costWord  = 64  // two headers, a slot of a map that is two thirds full
	costKV    = 64  // an attribute of pdata and its value
	costThing = 256 // a resource or a scope without attributes
)

// add makes a word of s. 0: it is full.
func (d *dict) add(s string) (w word, cost int64) {
	if d.n >= maxWords || len(s) > maxWord || d.text+len(s) > maxText {
		return 0, 0
	}
	s = strings.Clone(s) // it may be part of something large
	w = word(d.n)
	d.words[w] = s
	d.index[s] = w
	d.n++
	d.text += len(s)
	return w, int64(len(s) + costWord)
}

// resource is the number of the one of rs. body is what identifies it.
func (d *dict) resource(body []byte, rs ptrace.ResourceSpans) (i int, cost int64) {
	if i, ok := d.byBody[string(body)]; ok {
		return i, 0
	}
	r := resource{pcommon.NewResource(), strings.Clone(rs.SchemaUrl())}
	rs.Resource().CopyTo(r.Resource)
	i = len(d.resources)
	d.resources = append(d.resources, r)
	d.byBody[string(body)] = i
	return i, int64(costThing + 2*len(body) + costKV*r.Attributes().Len())
}

// scope is the number of the one of ss.
func (d *dict) scope(body []byte, ss ptrace.ScopeSpans) (i int, cost int64) {
	if i, ok := d.byBody[string(body)]; ok {
		return i, 0
	}
	s := scope{pcommon.NewInstrumentationScope(), strings.Clone(ss.SchemaUrl())}
	ss.Scope().CopyTo(s.InstrumentationScope)
	i = len(d.scopes)
	d.scopes = append(d.scopes, s)
	d.byBody[string(body)] = i
	return i, int64(costThing + 2*len(body) + costKV*s.Attributes().Len())
}

// seen remembers strings that came once. What comes a second time becomes a
// word: most of what comes only once, as paths with an id, never does.
type seen struct {
	marks [1024]uint32
	seed  maphash.Seed
}

// again reports whether s came before, and not too long ago.
func (f *seen) again(s string) bool {
	h := maphash.String(f.seed, s)
	mark := uint32(h>>32) | 1
	m := &f.marks[h%uint64(len(f.marks))]
	if *m == mark {
		return true
	}
	*m = mark
	return false
}
