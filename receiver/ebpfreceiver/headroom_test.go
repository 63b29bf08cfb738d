package ebpfreceiver

import (
	"testing"
	"time"
)

// TestHeadroom: there is more of it while there is much to do, and some seconds
// longer.
func TestHeadroom(t *testing.T) {
	h, now, spans := newHeadroom(), time.Unix(1, 0), uint64(0)
	second := func(rate uint64) bool {
		for range 10 {
			now = now.Add(100 * time.Millisecond)
			spans += rate / 10
			h.tick(now, spans)
		}
		return h.more != nil
	}
	for i, c := range []struct {
		rate    uint64
		seconds int
		want    bool
	}{{5000, 3, false}, {40_000, 2, true}, {15_000, 20, true}, {100, calmSeconds - 1, true}, {100, 2, false}, {40_000, 2, true}} {
		got := false
		for range c.seconds {
			got = second(c.rate)
		}
		if got != c.want {
			t.Errorf("step %d: more %v after %d s with %d spans a second", i, got, c.seconds, c.rate)
		}
	}
	if len(h.base) != baseHeadroom || !h.settled {
		t.Errorf("base %d, settled %v", len(h.base), h.settled)
	}
}
