package l7

// maxProtoField is the highest field number that is believed: Protocol Buffers
// allow more, the protocols that are read here have no such, and bytes that are
// something else mostly do.
const maxProtoField = 1 << 16

// ProtoFields calls f for each field of the Protocol Buffers message b, in their
// order: its number, and its value if it is a number (not in zigzag form), else
// its bytes, which lie in b. It stops and is false where b is no such message;
// groups, which nobody sends any more, count as that.
// The format: https://protobuf.dev/programming-guides/encoding/
func ProtoFields(b []byte, f func(num int, v uint64, s []byte)) bool {
	c := NewCursor(b)
	for c.Len() > 0 {
		tag := c.Uvarint()
		var v uint64
		var s []byte
		switch tag & 7 {
		case 0:
			v = c.Uvarint()
		case 1:
			v = c.U64LE()
		case 2:
			n := c.Uvarint()
			if n > uint64(c.Len()) {
				return false
			}
			s = c.Take(int(n))
		case 5:
			v = uint64(c.U32LE())
		default:
			return false
		}
		if num := tag >> 3; c.Short() || num == 0 || num > maxProtoField {
			return false
		}
		f(int(tag>>3), v, s)
	}
	return true
}
