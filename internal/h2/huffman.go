package h2

//go:generate go run gen_tables.go

// huffLength are the codes of one length.
type huffLength struct {
	n     uint8
	first uint32
	syms  string
}

// huffman appends what b encodes (RFC 7541 section 5.2) to dst. ok is false for
// a code that stands for nothing, and for padding that is not the beginning of
// the end-of-string code.
func huffman(dst, b []byte) (_ []byte, ok bool) {
	var acc uint64 // the next bits, at the top of the have lowest
	have := uint(0)
	for {
		for have <= 56 && len(b) > 0 {
			acc = acc<<8 | uint64(b[0])
			have += 8
			b = b[1:]
		}
		if have < 8 {
			break
		}
		v := huffShort[byte(acc>>(have-8))]
		if v != 0 {
			dst = append(dst, byte(v))
			have -= uint(v >> 8)
			continue
		}
		n, sym := longCode(acc, have)
		if n == 0 {
			break
		}
		dst = append(dst, sym)
		have -= n
	}
	// Fewer than 8 bits, or a long code that is not whole: what can still be
	// read is, padded with ones.
	for have >= 5 {
		if have >= 8 {
			return dst, false // no symbol, and too long for padding
		}
		v := huffShort[byte(acc<<(8-have)|(1<<(8-have)-1))]
		if v == 0 || uint(v>>8) > have {
			break
		}
		dst = append(dst, byte(v))
		have -= uint(v >> 8)
	}
	mask := uint64(1)<<have - 1
	return dst, have < 8 && acc&mask == mask
}

// longCode finds the code longer than 8 bits that the have bits of acc start
// with; n is 0 if there is none, or if it is not whole.
func longCode(acc uint64, have uint) (n uint, sym byte) {
	for i := range huffLong {
		l := &huffLong[i]
		if uint(l.n) > have {
			break
		}
		c := uint32(acc>>(have-uint(l.n))) & (1<<l.n - 1)
		if c >= l.first && c-l.first < uint32(len(l.syms)) {
			return uint(l.n), l.syms[c-l.first]
		}
	}
	return 0, 0
}
