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
	// No code is shorter than 5 bits.
	if need := len(b)*8/5 + 1; cap(dst)-len(dst) < need {
		dst = append(make([]byte, 0, len(dst)+need), dst...)
	}
	out := dst[:cap(dst)]
	n := len(dst)
	var acc uint64 // the next bits are the have lowest
	have := uint(0)
	for {
		switch {
		case have > 32:
		case len(b) >= 4:
			acc = acc<<32 | uint64(U32(b))
			have += 32
			b = b[4:]
		default:
			for len(b) > 0 {
				acc = acc<<8 | uint64(b[0])
				have += 8
				b = b[1:]
			}
		}
		stop := uint(8)
		if len(b) > 0 {
			stop = 30 // a long code must be whole
		}
		from := have
		for have >= stop {
			v := huffShort[byte(acc>>(have-8))]
			if v == 0 {
				k, sym := longCode(acc, have)
				if k == 0 {
					break
				}
				v = uint16(k)<<8 | uint16(sym)
			}
			out[n] = byte(v)
			n++
			have -= uint(v >> 8)
		}
		if have == from {
			break
		}
	}
	dst = out[:n]
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
