package l7

import (
	"math/rand/v2"
	"testing"
)

// TestOpen compares with a map, of numbers that count up and of any: what is
// found is right, and all is found as long as there is room.
func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name  string
		max   int
		live  int // how many are open at a time
		next  func(i uint64) uint64
		exact bool
	}{
		{"counting", 1024, 200, func(i uint64) uint64 { return i }, true},
		{"counting by 16", 1024, 200, func(i uint64) uint64 { return 16 * i }, true},
		{"from zero and wrapping", 1024, 64, func(i uint64) uint64 { return i & 0xffff }, true},
		{"any", 1024, 64, func(i uint64) uint64 { return i * 0xd1342543de82ef95 }, false},
		{"too many", 64, 500, func(i uint64) uint64 { return i }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, want := NewOpen[uint64](c.max), map[uint64]uint64{}
			r := rand.New(rand.NewPCG(1, 2))
			var order []uint64
			lost, asked := 0, 0
			for i := range uint64(20000) {
				id := c.next(i)
				o.Put(id, i)
				want[id] = i
				order = append(order, id)
				if got := o.Get(id); got == nil || *got != i {
					t.Fatalf("%d: what was just put is gone", id)
				}
				if len(order) <= c.live {
					continue
				}
				k := r.IntN(8) // answers come nearly in order
				id = order[k]
				order = append(order[:k], order[k+1:]...)
				v, ok := o.Take(id)
				if asked++; !ok {
					lost++
				} else if v != want[id] {
					t.Fatalf("%d is %d, want %d", id, v, want[id])
				}
				if _, ok := o.Take(id); ok {
					t.Fatalf("%d was taken and is still there", id)
				}
			}
			if c.exact && lost > 0 {
				t.Errorf("%d of %d lost", lost, asked)
			}
			if lost > 0 && c.live < c.max/8 && lost*1000 > asked {
				t.Errorf("%d of %d lost, with room for %d", lost, asked, c.max)
			}
			if len(o.slots) > c.max {
				t.Errorf("%d slots, want at most %d", len(o.slots), c.max)
			}
			o.Clear()
			for _, id := range order {
				if o.Get(id) != nil {
					t.Fatal("something is left after Clear")
				}
			}
		})
	}
}
