package l7

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestVarint(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, -64, 64, 300, math.MaxInt32, math.MinInt64, math.MaxInt64} {
		b := binary.AppendVarint(nil, v)
		c := NewCursor(append(b, 7))
		if got := c.Varint(); got != v || c.Short() || c.U8() != 7 {
			t.Errorf("%d: got %d, short %t", v, got, c.Short())
		}
		u := binary.AppendUvarint(nil, uint64(v))
		c = NewCursor(u)
		if got := c.Uvarint(); got != uint64(v) || c.Short() || c.Len() != 0 {
			t.Errorf("%d unsigned: got %d, short %t", v, got, c.Short())
		}
		for i := range b {
			c = NewCursor(b[:i])
			if c.Varint(); !c.Short() {
				t.Errorf("%d cut at %d is not short", v, i)
			}
		}
	}
	for _, bad := range []string{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00"} {
		c := NewCursor([]byte(bad))
		if c.Uvarint(); !c.Short() {
			t.Errorf("%x: more than 64 bits were taken", bad)
		}
	}
	c := NewCursor([]byte{1, 2, 3})
	if v := c.U24(); v != 0x010203 {
		t.Errorf("U24 is %x", v)
	}
}
