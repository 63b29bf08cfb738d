package h2

// chain is how many frame headers must follow each other to be believed inside
// other bytes: one fits by chance about once in 50,000 places of random bytes,
// three never.
const chain = 3

// Find is the offset in b of the first frame, for a reader that has lost its
// place, or -1. A frame at the very beginning, where segments and calls tend to
// begin, needs less evidence than one further in.
func Find(b []byte) int {
	for i := 0; i+HeaderLen <= len(b); i++ {
		// The cheap facts first: few bytes are a type, and lengths begin with 0.
		if b[i+3] > byte(PriorityUpdate) || b[i] > maxFrameSync>>16 || b[i+5] > maxStreamSync>>24 {
			continue
		}
		if n, exact := links(b[i:]); n >= chain || n > 1 && exact || i == 0 && n > 0 && (n > 1 || exact || starts(b)) {
			return i
		}
	}
	return -1
}

// links counts the frames that follow each other from the front of b, up to
// chain; 0 if something else than a frame follows one. exact: the last one ends
// where b does.
func links(b []byte) (n int, exact bool) {
	for n < chain && len(b) >= HeaderLen {
		if !Plausible(b) {
			return 0, false
		}
		n++
		size := Parse(b).Size()
		if size >= len(b) {
			return n, size == len(b)
		}
		b = b[size:]
	}
	return n, len(b) == 0
}

// starts reports whether the one frame that b begins with, which goes on behind
// it, is one that real senders cut: a header block, or DATA of the default
// size at most.
func starts(b []byte) bool {
	f := Parse(b)
	return (f.Type == Headers || f.Type == Data) && f.Length <= 1<<14
}
