// Package sqltext reads SQL statements of any dialect as far as a span needs
// them: the verb, the tables, the text without its literals, and the ids that
// tracers leave in comments. It never fails: what is not SQL gives little.
package sqltext

import (
	"bytes"
	"unicode/utf8"

	"github.com/hopscope/hopscope/internal/l7"
)

// Dialect settles what bytes alone leave open.
type Dialect uint8

// Dialects.
const (
	// Tolerant is for databases nobody knows: backslashes escape, # starts a
	// comment unless it is an operator of PostgreSQL, and what stands in double
	// quotes is a literal unless a name has to stand there.
	Tolerant Dialect = iota
	// MySQL: backslashes escape, # and "-- " start comments, double quotes hold
	// literals.
	MySQL
	// Standard is PostgreSQL, Oracle, SQL Server, Dameng: backslashes escape in
	// E'' only, # belongs to words, double quotes hold names.
	Standard
)

// defaultMaxText bounds Target where Options do not.
const defaultMaxText = 2048

// Keys of what Read finds beyond Op, Target and Route.
const (
	keySummary = "db.query.summary"
	// KeyOp, KeyText and KeyTable are the Keys of SQL protocols: Op, Target and
	// Route.
	KeyOp    = "db.operation.name"
	KeyText  = "db.query.text"
	KeyTable = "db.collection.name"
)

// Read is ReadAs(Tolerant).
func Read(opt *l7.Options, stmt []byte, m *l7.Message) { ReadAs(Tolerant, opt, stmt, m) }

// ReadAs reads stmt into m: Op is its verb in capitals, Target its text with
// literals replaced by ? (unless opt keeps them), without comments, white space
// squeezed, at most opt.MaxText bytes. Route is its table; with several tables
// Route stays empty, and Name and db.query.summary are the verb and the tables.
// m.Trace gets the ids found in comments.
//
// stmt may be cut anywhere.
func ReadAs(d Dialect, opt *l7.Options, stmt []byte, m *l7.Message) {
	limit := opt.MaxText
	if limit <= 0 {
		limit = defaultMaxText
	}
	r := reader{d: d, opt: opt, src: stmt, m: m}
	// A statement never grows: ? is the shortest literal, a space the shortest
	// comment.
	m.Target = m.Text.Build(min(len(stmt), limit), func(dst []byte) int {
		r.out = dst
		r.scan()
		return r.trim()
	})
	r.name()
}

// Classes of bytes, by what may start with them.
const (
	clOther   uint8 = iota // an operator, punctuation
	clWord                 // letters, _, bytes beyond ASCII
	clDigit                // 0-9
	clSpace                // white space and control characters
	clSpecial              // all that scan looks at
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80:
			t[c] = clWord
		case c >= '0' && c <= '9':
			t[c] = clDigit
		case c <= ' ' || c == 0x7f:
			t[c] = clSpace
		}
	}
	for _, c := range "'\"`[-+/#$(),.;?@:*" {
		t[c] = clSpecial
	}
	return t
}()

// inWord: a word goes on with these.
var inWord = func() (t [256]bool) {
	for c := range t {
		t[c] = class[c] == clWord || class[c] == clDigit || c == '$'
	}
	t['#'] = false
	return t
}()

// What the last token was.
const (
	afterNothing uint8 = iota // start, an operator, a comma, an opening bracket
	afterOperand              // a word, a value, a closing bracket: - after it is minus
	afterDot
)

// maxTables is how many tables a summary names: more say no more about what a
// statement is for.
const maxTables = 4

type reader struct {
	d   Dialect
	opt *l7.Options
	m   *l7.Message
	src []byte
	out []byte // the text goes here
	n   int    // that much of it is written
	// src[from:] up to where scan stands is to be copied as it is.
	from int
	full bool // out is full; scanning goes on for the comments

	after uint8
	// A list of nothing but values is written as one: list is where in out its
	// first value stands, values how many it has had. tuple is where in out the
	// last such list ended, with its bracket.
	list, values, tuple int

	grammar
}

// scan is the one pass over the statement.
func (r *reader) scan() {
	src := r.src
	for i := 0; i < len(src); {
		c := src[i]
		switch class[c] {
		case clWord:
			j := i + 1
			for j < len(src) && inWord[src[j]] {
				j++
			}
			i = r.word(i, j)
		case clDigit:
			i = r.value(i, r.number(i))
		case clSpace:
			j := i + 1
			if c == ' ' && j < len(src) && class[src[j]] != clSpace && i > r.from {
				i = j // stays as it is
				continue
			}
			for j < len(src) && class[src[j]] == clSpace {
				j++
			}
			r.copyTo(i)
			r.space()
			r.from, i = j, j
		case clSpecial:
			i = r.special(i, c)
		default:
			i++
			r.after, r.values, r.list = afterNothing, 0, 0
		}
	}
	r.copyTo(len(src))
}

// special reads the token at i that starts with c.
func (r *reader) special(i int, c byte) int {
	src := r.src
	next := byte(0)
	if i+1 < len(src) {
		next = src[i+1]
	}
	switch c {
	case '\'':
		return r.value(i, r.quoted(i, r.d != Standard))
	case '"':
		end := r.quoted(i, r.d != Standard)
		if r.d == Standard || r.d == Tolerant && (r.expect || r.after == afterDot || end < len(src) && src[end] == '.') {
			return r.quotedName(i, end)
		}
		return r.value(i, end)
	case '`':
		return r.quotedName(i, r.quoted(i, false))
	case '[':
		// SQL Server's names, but PostgreSQL's and ClickHouse's arrays.
		if r.d != MySQL && (class[next] == clWord) && (r.expect || r.after != afterOperand) {
			if k := bytes.IndexByte(src[i:min(i+130, len(src))], ']'); k > 0 {
				return r.quotedName(i, i+k+1)
			}
		}
	case '(':
		return r.open(i)
	case ')':
		return r.close(i)
	case ',':
		r.after = afterNothing
		r.comma()
		return i + 1
	case '-', '+':
		if c == '-' && next == '-' && (r.d != MySQL || i+2 >= len(src) || class[src[i+2]] == clSpace) {
			return r.lineComment(i, 2)
		}
		if r.after == afterNothing && (class[next] == clDigit || next == '.') {
			return r.value(i, r.number(i+1))
		}
	case '/':
		if next == '*' {
			return r.blockComment(i)
		}
	case '*':
		if next == '/' && r.executed {
			r.executed = false
			return r.drop(i, i+2)
		}
		r.after, r.values, r.list = afterOperand, 0, 0
		return i + 1
	case '#':
		switch {
		case r.d == MySQL, r.d == Tolerant && next != '>' && next != '-':
			return r.lineComment(i, 1)
		case r.d == Standard && (class[next] == clWord || next == '#') && (i == 0 || !inWord[src[i-1]]):
			j := i + 1 // SQL Server's #temporary and ##global tables
			for j < len(src) && (inWord[src[j]] || src[j] == '#') {
				j++
			}
			return r.word(i, j)
		}
	case '$':
		return r.dollar(i, next)
	case '.':
		if class[next] == clDigit && r.after == afterNothing {
			return r.value(i, r.number(i))
		}
		r.after = afterDot
		return i + 1
	case '?':
		if r.after == afterNothing {
			return r.value(i, i+1)
		}
	case '@', ':':
		j := i + 1
		for j < len(src) && (src[j] == c || inWord[src[j]]) {
			j++
		}
		r.after, r.values, r.list, r.expect = afterOperand, 0, 0, false
		if j == i+1 {
			r.after = afterNothing
		}
		return j
	case ';':
		r.statement()
	}
	r.after, r.values, r.list = afterNothing, 0, 0
	return i + 1
}

// copyTo writes the run that stays as it is up to i.
func (r *reader) copyTo(i int) {
	if i > r.from && !r.full {
		k := copy(r.out[r.n:], r.src[r.from:i])
		r.n += k
		r.full = k < i-r.from
	}
	r.from = i
}

func (r *reader) put(c byte) {
	if r.n < len(r.out) && !r.full {
		r.out[r.n] = c
		r.n++
		return
	}
	r.full = true
}

// space writes one space, unless there is one or none is wanted.
func (r *reader) space() {
	if r.n > 0 && r.out[r.n-1] != ' ' && r.out[r.n-1] != '(' {
		r.put(' ')
	}
}

// value is a literal or a placeholder at src[i:j].
func (r *reader) value(i, j int) int {
	r.after, r.expect = afterOperand, false
	if r.opt.KeepLiterals || r.full {
		return j
	}
	if r.list > 0 && r.values > 0 { // one more of a list
		r.n, r.from = r.list, i
		r.values = 2
	} else if r.copyTo(i); r.list == r.n { // the first
		r.values = 1
	} else {
		r.list, r.values = 0, 0
	}
	if c := r.src[i]; c == '$' && r.values < 2 && class[r.src[j-1]] == clDigit {
		return j // a placeholder says nothing: it stays
	}
	r.put('?')
	r.from = j
	return j
}

// open is an opening bracket at i.
func (r *reader) open(i int) int {
	r.after = afterNothing
	r.deeper()
	r.copyTo(i + 1)
	r.list, r.values = r.n, 0
	return i + 1
}

// close is a closing bracket at i.
func (r *reader) close(i int) int {
	r.after = afterOperand
	r.shallower()
	list, values := r.list, r.values
	r.list, r.values = 0, 0
	if values == 0 || r.full {
		return i + 1
	}
	r.copyTo(i + 1)
	if r.full {
		return i + 1
	}
	// (?), (?) is written as the first of them.
	if t := r.tuple; t > 0 && t < list {
		if gap := r.out[t : list-1]; len(gap) > 0 && gap[0] == ',' && len(gap) <= 2 && (len(gap) == 1 || gap[1] == ' ') {
			r.n = t
			return i + 1
		}
	}
	r.tuple = r.n
	return i + 1
}

// quoted is the end of the quoted text at i. A doubled quote is one of its
// bytes; so is, if backslash, what a backslash stands before.
func (r *reader) quoted(i int, backslash bool) int {
	src := r.src
	q := src[i]
	for j := i + 1; ; {
		k := bytes.IndexByte(src[j:], q)
		if k < 0 {
			return len(src)
		}
		if backslash {
			if b := bytes.IndexByte(src[j:j+k], '\\'); b >= 0 {
				j += b + 2
				if j > len(src) {
					return len(src)
				}
				continue
			}
		}
		j += k + 1
		if j >= len(src) || src[j] != q {
			return j
		}
		j++
	}
}

// number is the end of the number at i.
func (r *reader) number(i int) int {
	src := r.src
	j := i
	for j < len(src) {
		c := src[j]
		switch {
		case inWord[c] && c != '$', c == '.':
		case (c == '-' || c == '+') && j > i && src[j-1]|0x20 == 'e' && class[src[i]] == clDigit && src[min(i+1, j)]|0x20 != 'x':
		default:
			return j
		}
		j++
	}
	return j
}

// dollar is a PostgreSQL placeholder, a dollar-quoted text, or a dollar at i.
func (r *reader) dollar(i int, next byte) int {
	src := r.src
	if class[next] == clDigit {
		j := i + 1
		for j < len(src) && class[src[j]] == clDigit {
			j++
		}
		return r.value(i, j)
	}
	if r.d == MySQL || r.after == afterDot {
		r.after = afterOperand
		return i + 1
	}
	j := i + 1
	for j < len(src) && (class[src[j]] == clWord || class[src[j]] == clDigit) && j-i < 64 {
		j++
	}
	if j >= len(src) || src[j] != '$' {
		r.after, r.values, r.list = afterNothing, 0, 0
		return i + 1
	}
	tag := src[i : j+1]
	end := len(src)
	if k := bytes.Index(src[j+1:], tag); k >= 0 {
		end = j + 1 + k + len(tag)
	}
	return r.value(i, end)
}

// drop leaves src[i:j] out.
func (r *reader) drop(i, j int) int {
	r.copyTo(i)
	r.space()
	r.from = j
	return j
}

// lineComment is a comment up to the end of the line; skip is its opener.
func (r *reader) lineComment(i, skip int) int {
	end := len(r.src)
	if k := bytes.IndexByte(r.src[i:], '\n'); k >= 0 {
		end = i + k
	}
	r.ids(r.src[i+skip : end])
	return r.drop(i, end)
}

// blockComment is a comment at i. What stands in MySQL's /*! is executed.
func (r *reader) blockComment(i int) int {
	src := r.src
	j := i + 2
	if j < len(src) && src[j] == '!' && r.d != Standard {
		for j++; j < len(src) && class[src[j]] == clDigit; j++ {
		}
		r.executed = true
		return r.drop(i, j)
	}
	end, after := len(src), len(src)
	for depth, k := 1, j; k < len(src); {
		e := bytes.Index(src[k:], []byte("*/"))
		if e < 0 {
			break
		}
		if r.d == Standard { // nests there
			depth += bytes.Count(src[k:k+e], []byte("/*"))
		}
		if depth--; depth == 0 {
			end, after = k+e, k+e+2
			break
		}
		k += e + 2
	}
	r.ids(src[j:end])
	return r.drop(i, after)
}

// trim takes what the end of the text should not have: spaces, semicolons,
// commas, half a comment's opener, half a rune. It returns what is left.
func (r *reader) trim() int {
	out := r.out[:r.n]
	if r.full {
		for k := 1; k <= utf8.UTFMax && k <= len(out); k++ {
			if c := out[len(out)-k]; utf8.RuneStart(c) {
				if c >= utf8.RuneSelf && !utf8.FullRune(out[len(out)-k:]) {
					out = out[:len(out)-k]
				}
				break
			}
		}
	}
	for len(out) > 0 {
		// No whole statement ends with these; a cut one may have half a comment's
		// opener.
		switch out[len(out)-1] {
		case ' ', ';', ',', '/', '-':
			out = out[:len(out)-1]
			continue
		}
		break
	}
	r.n = len(out)
	return r.n
}
