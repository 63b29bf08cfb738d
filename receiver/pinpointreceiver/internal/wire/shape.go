package wire

// Shape is the method that a message belongs to, as far as its shape leaves no
// doubt: a span message has a version, which is 1, and a transaction, and
// nothing else of Pinpoint's looks like that. "" for all others: the texts of
// statements, strings and APIs look alike.
func Shape(msg []byte) string {
	f := fields{s: string(msg)}
	shape := ""
	for f.next() {
		if f.typ != bytes || f.num > 2 {
			return ""
		}
		one := ""
		if isSpan(f.b) {
			one = "/v1.Span/SendSpan"
		} else if f.num == 1 && isSpanMessage(f.b) {
			one = "/v1.Span/SendSpanBatch"
		}
		if one == "" || shape != "" && (shape != one || one == "/v1.Span/SendSpan") {
			return ""
		}
		shape = one
	}
	if f.bad {
		return ""
	}
	return shape
}

// isSpanMessage: a PSpanMessage in a batch.
func isSpanMessage(s string) bool {
	f := fields{s: s}
	n := 0
	for f.next() {
		if f.typ != bytes || f.num > 2 || !isSpan(f.b) {
			return false
		}
		n++
	}
	return n == 1 && !f.bad
}

// isSpan: a PSpan or a PSpanChunk.
func isSpan(s string) bool {
	f := fields{s: s}
	version, transaction, id := false, false, false
	for f.next() {
		switch f.num {
		case 1:
			version = f.typ == varint && f.v == 1
		case 2:
			in := f.inner()
			for in.next() {
				transaction = transaction || in.num == 2 && in.typ == varint
				if in.num > 3 {
					return false
				}
			}
			f.merge(&in)
		case 3:
			id = f.typ == fixed64
		}
	}
	return version && transaction && id && !f.bad
}

// IsStat reports whether a message may be a PStatMessage: one statistic or
// several of a time that makes sense, and nothing else.
func IsStat(msg []byte) bool {
	ok, n := true, 0
	err := DecodeStats(msg, func(s *Stat) {
		n++
		ok = ok && s.Time > minTime && s.Time < maxTime && s.Interval >= 0
	}, func(u *URIStat) {
		n++
		ok = ok && u.Time > minTime && u.Time < maxTime && u.URI != ""
	})
	return err == nil && ok && n > 0
}

// Times that agents may tell, in ms: from 2001 to 2286.
const (
	minTime = 1e12
	maxTime = 1e13
)
