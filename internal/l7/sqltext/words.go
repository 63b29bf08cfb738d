package sqltext

import (
	"bytes"
)

// A keyword is a word that says where the verb or a table is.
type keyword uint8

const (
	kwNone keyword = iota
	kwSelect
	kwInsert // a verb with INTO
	kwUpdate
	kwDelete
	kwWith
	kwDDL    // a verb with TABLE
	kwTarget // a verb whose next word is the table
	kwCall   // a verb whose next word is a procedure
	kwExplain
	kwVerb // any other verb
	kwFrom
	kwJoin
	kwInto
	kwTable
	kwUsing
	kwOn
	kwIndex
	kwDistinct
	kwAs
	kwModifier // between FROM, INTO, TABLE and the name
	kwEnd      // ends the tables of FROM
	kwDual     // stands where a table would, and is none
)

// words are the keywords. Verbs are those of MySQL, PostgreSQL, Oracle and SQL
// Server that a statement starts with; others are spelled by the statement.
var words = []struct {
	upper string
	kw    keyword
}{
	{"SELECT", kwSelect}, {"INSERT", kwInsert}, {"REPLACE", kwInsert}, {"MERGE", kwInsert}, {"UPSERT", kwInsert},
	{"LOAD", kwInsert}, {"UPDATE", kwUpdate}, {"DELETE", kwDelete}, {"WITH", kwWith},
	{"CREATE", kwDDL}, {"ALTER", kwDDL}, {"DROP", kwDDL}, {"LOCK", kwDDL}, {"RENAME", kwDDL}, {"OPTIMIZE", kwDDL},
	{"REPAIR", kwDDL}, {"CHECK", kwDDL}, {"ANALYZE", kwDDL},
	{"TRUNCATE", kwTarget}, {"DESCRIBE", kwTarget}, {"DESC", kwTarget}, {"COPY", kwTarget}, {"VACUUM", kwTarget},
	{"CALL", kwCall}, {"EXEC", kwCall}, {"EXPLAIN", kwExplain},
	{"SET", kwVerb}, {"SHOW", kwVerb}, {"BEGIN", kwVerb}, {"COMMIT", kwVerb}, {"ROLLBACK", kwVerb}, {"START", kwVerb},
	{"USE", kwVerb}, {"GRANT", kwVerb}, {"REVOKE", kwVerb}, {"PREPARE", kwVerb}, {"EXECUTE", kwVerb},
	{"DEALLOCATE", kwVerb}, {"SAVEPOINT", kwVerb}, {"RELEASE", kwVerb}, {"FETCH", kwVerb}, {"DECLARE", kwVerb},
	{"CLOSE", kwVerb}, {"LISTEN", kwVerb}, {"NOTIFY", kwVerb}, {"KILL", kwVerb}, {"UNLOCK", kwVerb}, {"FLUSH", kwVerb},
	{"DO", kwVerb}, {"VALUES", kwEnd}, {"END", kwVerb}, {"ABORT", kwVerb}, {"DISCARD", kwVerb}, {"RESET", kwVerb},
	{"FROM", kwFrom}, {"JOIN", kwJoin}, {"STRAIGHT_JOIN", kwJoin}, {"INTO", kwInto}, {"TABLE", kwTable},
	{"USING", kwUsing}, {"ON", kwOn}, {"INDEX", kwIndex}, {"DISTINCT", kwDistinct}, {"AS", kwAs},
	{"ONLY", kwModifier}, {"LATERAL", kwModifier}, {"IF", kwModifier}, {"NOT", kwModifier}, {"EXISTS", kwModifier},
	{"LOW_PRIORITY", kwModifier}, {"HIGH_PRIORITY", kwModifier}, {"DELAYED", kwModifier}, {"IGNORE", kwModifier},
	{"QUICK", kwModifier}, {"CONCURRENTLY", kwModifier}, {"EXTENDED", kwModifier}, {"OVERWRITE", kwModifier},
	{"WHERE", kwEnd}, {"GROUP", kwEnd}, {"ORDER", kwEnd}, {"HAVING", kwEnd}, {"LIMIT", kwEnd}, {"UNION", kwEnd},
	{"RETURNING", kwEnd}, {"WINDOW", kwEnd}, {"OFFSET", kwEnd}, {"FOR", kwEnd}, {"DUAL", kwDual},
}

const (
	longestWord = len("STRAIGHT_JOIN")
	slots       = 512 // several times the words, so that most names meet an empty slot
)

// table finds words by length, first and last letter.
var table = func() (t [slots]uint8) {
	for i := range words {
		h := slot(words[i].upper[0], words[i].upper[len(words[i].upper)-1], len(words[i].upper))
		for t[h] != 0 {
			h = (h + 1) % slots
		}
		t[h] = uint8(i + 1)
	}
	return t
}()

func slot(first, last byte, n int) uint32 {
	return (uint32(first|0x20)*29 + uint32(last|0x20)*113 + uint32(n)*61) % slots
}

// lookup is the index of w in words, or -1.
func lookup(w []byte) int {
	if len(w) < 2 || len(w) > longestWord {
		return -1
	}
	for h := slot(w[0], w[len(w)-1], len(w)); table[h] != 0; h = (h + 1) % slots {
		i := int(table[h] - 1)
		if equalFold(w, words[i].upper) {
			return i
		}
	}
	return -1
}

func equalFold(w []byte, upper string) bool {
	if len(w) != len(upper) {
		return false
	}
	for i := 0; i < len(w); i++ {
		if (w[i]^upper[i])&^0x20 != 0 {
			return false
		}
	}
	return true
}

// grammar is where in the statement scan stands.
type grammar struct {
	verb   keyword
	op     string
	with   bool // WITH was the first word: the verb is still to come
	expect bool // the next name is a table
	source bool // of FROM or JOIN: with brackets behind it, it is a function
	call   bool // the next name is a procedure
	into   bool // INTO is followed by a table
	index  bool // ON is followed by a table
	// executed: inside MySQL's /*! */.
	executed bool
	depth    int
	queries  uint64 // by depth: a query, where FROM names tables
	froms    uint64 // by depth: in the list of FROM, where a comma goes on with a table
	prev     keyword
	last     span // the last word
	ctes     [maxTables]span
	nctes    int
	tables   [maxTables]span
	ntables  int
	more     bool // there are more than that
}

// span is a piece of the statement.
type span struct{ a, b int }

func (g *grammar) bit() uint64 { return 1 << min(g.depth, 63) }

func (r *reader) deeper() {
	if r.prev == kwAs && r.with && r.depth == 0 && r.nctes < maxTables {
		r.ctes[r.nctes] = r.last
		r.nctes++
	}
	r.depth++
	r.queries &^= r.bit()
	r.froms &^= r.bit()
	r.prev = kwNone
}

func (r *reader) shallower() {
	r.expect = false
	if r.depth > 0 {
		r.depth--
	}
}

func (r *reader) comma() {
	if r.froms&r.bit() != 0 {
		r.expect, r.source = true, true
	}
}

// statement is a semicolon: another statement may follow.
func (r *reader) statement() {
	r.depth, r.queries, r.froms = 0, 0, 0
	r.expect, r.into, r.index = false, false, false
}

// word is a word at src[i:j].
func (r *reader) word(i, j int) int {
	src := r.src
	if j < len(src) && src[j] == '\'' {
		if end := r.prefixed(i, j); end > 0 {
			return r.value(i, end)
		}
	}
	dotted := r.after == afterDot
	r.after, r.list, r.values = afterOperand, 0, 0
	if dotted {
		return j
	}
	w := src[i:j]
	k := lookup(w)
	kw := kwNone
	if k >= 0 {
		kw = words[k].kw
		if j < len(src) && src[j] == '.' {
			kw = kwNone // a name after all
		}
	}
	if r.verb == kwNone || r.with && r.depth == 0 && kw >= kwSelect && kw <= kwDelete {
		r.begin(w, k, kw)
		r.prev = kw
		return j
	}
	if kw == kwNone {
		if r.expect {
			return r.tableName(i)
		}
		if r.prev != kwAs {
			r.last = span{i, j}
		}
		r.prev = kwNone
		return j
	}
	r.keyword(kw)
	r.prev = kw
	return j
}

// begin takes the verb.
func (r *reader) begin(w []byte, k int, kw keyword) {
	r.verb, r.with = kw, kw == kwWith
	switch {
	case k >= 0:
		r.op = words[k].upper
	case len(w) <= 16:
		r.op = r.m.Text.Build(len(w), func(dst []byte) int {
			for i, c := range w {
				if c|0x20 < 'a' || c|0x20 > 'z' {
					return 0 // no verb has other bytes
				}
				dst[i] = c &^ 0x20
			}
			return len(w)
		})
		fallthrough
	default:
		r.verb = kwVerb
	}
	r.source, r.call = false, false
	switch kw {
	case kwUpdate:
		r.expect = true
		r.queries |= r.bit()
		r.froms |= r.bit()
	case kwTarget:
		r.expect = true
	case kwCall:
		r.expect, r.call = true, true
	case kwDDL:
	default:
		r.keyword(kw)
	}
}

// keyword moves the grammar on.
func (r *reader) keyword(kw keyword) {
	switch kw {
	case kwSelect, kwDelete:
		r.queries |= r.bit()
		r.froms &^= r.bit()
		r.expect = false
	case kwInsert:
		r.into = true
	case kwUpdate:
		if r.prev == kwExplain || r.verb == kwExplain && r.prev == kwNone {
			r.expect, r.source = true, false
		}
	case kwFrom:
		if r.queries&r.bit() != 0 && r.prev != kwDistinct {
			r.expect, r.source = true, true
			r.froms |= r.bit()
		}
	case kwJoin:
		r.expect, r.source = true, true
	case kwInto:
		r.expect, r.source = r.into, false
	case kwTable:
		if r.verb == kwDDL {
			r.expect, r.source = true, false
		}
	case kwUsing:
		r.expect = r.verb == kwDelete || r.verb == kwInsert
		r.source = true
	case kwIndex:
		r.index = r.verb == kwDDL
	case kwOn:
		if r.index {
			r.expect, r.source, r.index = true, false, false
		}
	case kwModifier, kwDistinct:
	case kwAs:
		r.expect = false
	default:
		r.expect = false
		r.froms &^= r.bit()
	}
}

// quotedName is a name in quotes at src[i:j].
func (r *reader) quotedName(i, j int) int {
	r.list, r.values = 0, 0
	dotted := r.after == afterDot
	r.after = afterOperand
	if r.expect && !dotted {
		return r.tableName(i)
	}
	if r.prev != kwAs {
		r.last = span{i, j}
	}
	r.prev = kwNone
	return j
}

// maxName bounds a table's name with its schema and catalogue.
const maxName = 200

// tableName is a name at i, with what dots join to it.
func (r *reader) tableName(i int) int {
	src := r.src
	r.expect, r.prev = false, kwNone
	j := i
	for {
		start := j
		switch c := byte(0); {
		case j < len(src):
			if c = src[j]; c == '`' || c == '"' {
				j = r.quoted(j, false)
			} else if c == '[' {
				k := bytes.IndexByte(src[j:], ']')
				if k < 0 {
					k = len(src) - j - 1
				}
				j += k + 1
			} else {
				for j < len(src) && (inWord[src[j]] || src[j] == '#') {
					j++
				}
			}
		}
		if j >= len(src) || src[j] != '.' {
			if j == start && j < len(src) && j > i { // "schema." and something else: not a name
				return j
			}
			break
		}
		j++
	}
	if r.call {
		r.call = false
	} else if r.source {
		k := j
		for k < len(src) && class[src[k]] == clSpace {
			k++
		}
		if k < len(src) && src[k] == '(' {
			return j // a function
		}
	}
	if j-i <= maxName && j > i {
		r.add(span{i, j})
	}
	return j
}

// add remembers a table once.
func (r *reader) add(s span) {
	name := r.src[s.a:s.b]
	for _, c := range r.ctes[:r.nctes] {
		if bytes.EqualFold(bare(r.src[c.a:c.b]), bare(name)) {
			return
		}
	}
	for _, t := range r.tables[:r.ntables] {
		if bytes.EqualFold(r.src[t.a:t.b], name) {
			return
		}
	}
	if r.ntables == maxTables {
		r.more = true
		return
	}
	r.tables[r.ntables] = s
	r.ntables++
}

// bare is a name without the quotes around it.
func bare(b []byte) []byte {
	if len(b) >= 2 && (b[0] == '`' || b[0] == '"' || b[0] == '[') {
		return b[1 : len(b)-1]
	}
	return b
}

// prefixed is the end of a literal whose prefix is src[i:j], with the quote at
// j; or 0.
func (r *reader) prefixed(i, j int) int {
	w := r.src[i:j]
	switch {
	case w[0] == '_':
		return r.quoted(j, r.d != Standard) // _utf8'...'
	case len(w) == 1:
		switch w[0] | 0x20 {
		case 'n', 'x', 'b':
			return r.quoted(j, r.d != Standard)
		case 'e':
			return r.quoted(j, true)
		case 'q':
			return r.oracle(j)
		}
	case len(w) == 2 && w[0]|0x20 == 'n' && w[1]|0x20 == 'q':
		return r.oracle(j)
	}
	return 0
}

// oracle is the end of Oracle's q'[...]', whose quote is at j.
func (r *reader) oracle(j int) int {
	src := r.src
	if j+1 >= len(src) {
		return len(src)
	}
	end := [2]byte{src[j+1], '\''}
	switch src[j+1] {
	case '[':
		end[0] = ']'
	case '(':
		end[0] = ')'
	case '{':
		end[0] = '}'
	case '<':
		end[0] = '>'
	}
	if k := bytes.Index(src[j+2:], end[:]); k >= 0 {
		return j + 2 + k + 2
	}
	return len(src)
}

// name says what the statement is about.
func (r *reader) name() {
	m := r.m
	m.Op = r.op
	if r.ntables == 0 {
		return
	}
	if r.verb == kwCall {
		name := r.text(r.tables[0])
		m.Add("db.stored_procedure.name", name)
		m.Name = m.Text.Join(m.Op, " ", name)
		return
	}
	if r.ntables == 1 && !r.more {
		m.Route = r.text(r.tables[0])
		return
	}
	n := len(r.op)
	for _, t := range r.tables[:r.ntables] {
		n += 1 + t.b - t.a
	}
	m.Name = m.Text.Build(n+len(more), func(dst []byte) int {
		k := copy(dst, r.op)
		for _, t := range r.tables[:r.ntables] {
			k += copy(dst[k:], " ")
			k += unquote(dst[k:], r.src[t.a:t.b])
		}
		if r.more {
			k += copy(dst[k:], more)
		}
		return k
	})
	m.Add(keySummary, m.Name)
}

const more = " ..."

// text is a name without quotes.
func (r *reader) text(s span) string {
	b := r.src[s.a:s.b]
	return r.m.Text.Build(len(b), func(dst []byte) int { return unquote(dst, b) })
}

func unquote(dst, b []byte) int {
	n := 0
	for _, c := range b {
		if c != '`' && c != '"' && c != '[' && c != ']' {
			dst[n] = c
			n++
		}
	}
	return n
}
