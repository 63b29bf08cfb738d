package h2

//go:generate go run gen_tables.go

import "encoding/binary"

// huffLength are the codes of one length.
type huffLength struct {
	n     uint8
	first uint32
	syms  string
}

// pairBits is the width of two codes of most letters and digits, which are 5 or 6
// bits long.
const pairBits = 12

// huffPair is, for the next pairBits bits, the symbols of the one or two codes
// that they start with, how many (third byte) and how many bits they take (fourth);
// 0: the first code is longer.
var huffPair = func() (t [1 << pairBits]uint32) {
	for i := range t {
		one := func(have uint) (n uint, sym byte) {
			if have >= 8 {
				if v := huffShort[byte(i>>(have-8))]; v != 0 {
					return uint(v >> 8), byte(v)
				}
			} else if v := huffShort[byte(i<<(8-have))]; v != 0 && uint(v>>8) <= have {
				return uint(v >> 8), byte(v)
			}
			return longCode(uint64(i), have)
		}
		n, sym := one(pairBits)
		if n == 0 {
			continue
		}
		t[i] = uint32(n)<<24 | 1<<16 | uint32(sym)
		if more, next := one(pairBits - n); more > 0 {
			t[i] = uint32(n+more)<<24 | 2<<16 | uint32(next)<<8 | uint32(sym)
		}
	}
	return t
}()

// huffman appends what b encodes (RFC 7541 section 5.2) to dst. ok is false for
// a code that stands for nothing, and for padding that is not the beginning of
// the end-of-string code.
func huffman(dst, b []byte) (_ []byte, ok bool) {
	// No code is shorter than 5 bits; symbols are written two at a time.
	if need := len(b)*8/5 + 2; cap(dst)-len(dst) < need {
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
		stop := uint(pairBits)
		if len(b) > 0 {
			stop = 30 // a long code must be whole
		}
		from := have
		for have >= stop {
			v := huffPair[acc>>(have-pairBits)&(1<<pairBits-1)]
			if v == 0 {
				k, sym := longCode(acc, have)
				if k == 0 {
					break
				}
				v = uint32(k)<<24 | 1<<16 | uint32(sym)
			}
			binary.LittleEndian.PutUint16(out[n:], uint16(v))
			n += int(v >> 16 & 3)
			have -= uint(v >> 24)
		}
		if have == from {
			break
		}
	}
	dst = out[:n]
	for have >= 8 {
		v := huffShort[byte(acc>>(have-8))]
		if v == 0 {
			k, sym := longCode(acc, have)
			if k == 0 {
				break
			}
			v = uint16(k)<<8 | uint16(sym)
		}
		dst = append(dst, byte(v))
		have -= uint(v >> 8)
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
