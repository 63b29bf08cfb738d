package hop

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// TestKeys: keys are the hash of their parts one after the other, as other
// programs compute them (docs/stitching.md).
func TestKeys(t *testing.T) {
	be := binary.BigEndian
	for _, n := range []uint64{0, 1, 0x0123456789abcdef, 0xfedcba9876543210, 1<<64 - 1} {
		hi, lo := uint32(n>>32), uint32(n)
		for what, c := range map[string]struct {
			got  Key
			want []byte
		}{
			"xid":  {XID(hi, lo), be.AppendUint64([]byte{tagXID}, n)},
			"lid":  {LID(ConnKey{Client: hi, Server: lo, Known: true}, ^n), be.AppendUint64(be.AppendUint64([]byte{tagLID}, n), ^n)},
			"wire": {Wire(Key(n)), be.AppendUint64([]byte{tagWire}, n)},
			"span": {SpanID(Key(n), ServerNIC, "host", "eth0"), append(append(append(append(be.AppendUint64([]byte{tagSpan}, n), byte(ServerNIC)), "host"...), tagSpan), "eth0"...)},
		} {
			if want := Key(xxhash.Sum64(c.want)); c.got != want {
				t.Errorf("%s of %x: %x, want %x", what, n, c.got, want)
			}
		}
		trace := be.AppendUint64([]byte{tagTrace}, n)
		want := be.AppendUint64(be.AppendUint64(nil, xxhash.Sum64(append(trace, 0))), xxhash.Sum64(append(trace, 1)))
		if got := TraceID(Key(n)); string(got[:]) != string(want) {
			t.Errorf("trace of %x: %x, want %x", n, got, want)
		}
		if got, want := string(Key(n).Hex(nil)), fmt.Sprintf("%016x", n); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
