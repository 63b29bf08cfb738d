package hop

import "math/bits"

// hash is xxHash64 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md) of
// fewer than 32 bytes, taken word by word out of registers: every span has half
// a dozen such keys, and of bytes in memory a hash has to wait for the stores.
type hash uint64

const (
	prime1 = 0x9e3779b185ebca87
	prime2 = 0xc2b2ae3d27d4eb4f
	prime3 = 0x165667b19e3779f9
	prime4 = 0x85ebca77c2b2ae63
	prime5 = 0x27d4eb2f165667c5
)

// hashOf begins a hash of n bytes; words come before bytes.
func hashOf(n uint64) hash { return hash(prime5 + n) }

// word takes eight bytes, the first the lowest of w.
func (h hash) word(w uint64) hash {
	k := bits.RotateLeft64(w*prime2, 31) * prime1
	return hash(bits.RotateLeft64(uint64(h)^k, 27)*prime1 + prime4)
}

func (h hash) byte(b byte) hash {
	return hash(bits.RotateLeft64(uint64(h)^uint64(b)*prime5, 11) * prime1)
}

func (h hash) sum() uint64 {
	x := uint64(h)
	x = (x ^ x>>33) * prime2
	x = (x ^ x>>29) * prime3
	return x ^ x>>32
}
