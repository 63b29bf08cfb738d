package l7

// U24 is the next three bytes, big-endian.
func (c *Cursor) U24() uint32 {
	if b := c.Take(3); b != nil {
		return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	}
	return 0
}

// Uvarint is the next number in base-128 groups, least significant first, as
// Protocol Buffers, Kafka, Thrift and MQTT have it. One of more than 64 bits
// counts as a read past the end.
func (c *Cursor) Uvarint() uint64 {
	// Nearly all are small.
	if at := c.at; at < len(c.b) && c.b[at] < 0x80 {
		c.at = at + 1
		return uint64(c.b[at])
	}
	return c.uvarint()
}

// uvarint is apart so that the common case is no call.
//
//go:noinline
func (c *Cursor) uvarint() uint64 {
	var v uint64
	for i, b := range c.Rest() {
		if i == 9 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			c.at += i + 1
			return v
		}
		if i == 9 {
			break
		}
	}
	c.Fail()
	return 0
}

// Varint is Uvarint of a number in zigzag form.
func (c *Cursor) Varint() int64 {
	v := c.Uvarint()
	return int64(v>>1) ^ -int64(v&1)
}
