package l7

// Open remembers what waits for an answer, by a number that a client chose. It
// keeps up to max of them (a power of two): where there is no room left, one that
// was not answered gives way. The zero value is not ready; see NewOpen.
//
// Numbers are looked for in the four slots that they belong to, which costs a
// third of what a map does.
type Open[V any] struct {
	slots []openSlot[V]
	shift uint8 // 64 less the bits of len(slots)
	max   int
}

type openSlot[V any] struct {
	id   uint64
	live bool
	v    V
}

const (
	openWay   = 4 // slots for each number
	openFirst = 8 // slots at first
)

// NewOpen keeps up to max.
func NewOpen[V any](max int) Open[V] { return Open[V]{max: max} }

// home is the first of the slots that id belongs to. Numbers that count up are
// spread evenly.
func (o *Open[V]) home(id uint64) int {
	return int(id*0x9e3779b97f4a7c15>>o.shift) &^ (openWay - 1)
}

// Get is what was put for id; nil if nothing was, or it has given way. It is valid
// until the next Put.
func (o *Open[V]) Get(id uint64) *V {
	if len(o.slots) == 0 {
		return nil
	}
	home := o.home(id)
	way := o.slots[home : home+openWay]
	for i := range way {
		if s := &way[i]; s.id == id && s.live {
			return &s.v
		}
	}
	return nil
}

// Put has v, or what id had before, replaced by v.
func (o *Open[V]) Put(id uint64, v V) {
	if o.slots == nil {
		o.grow(openFirst)
	}
	for {
		home := o.home(id)
		way := o.slots[home : home+openWay]
		free := -1
		for i := range way {
			switch s := &way[i]; {
			case !s.live:
				free = i
			case s.id == id:
				s.v = v
				return
			}
		}
		if free < 0 && len(o.slots) < o.max {
			o.grow(2 * len(o.slots))
			continue
		}
		if free < 0 {
			// The lowest number is most often the oldest.
			free = 0
			for i := range way {
				if way[i].id < way[free].id {
					free = i
				}
			}
		}
		way[free] = openSlot[V]{id: id, live: true, v: v}
		return
	}
}

// Take is Get, and forgets.
func (o *Open[V]) Take(id uint64) (v V, ok bool) {
	if len(o.slots) == 0 {
		return v, false
	}
	home := o.home(id)
	way := o.slots[home : home+openWay]
	for i := range way {
		if s := &way[i]; s.id == id && s.live {
			s.live = false
			return s.v, true
		}
	}
	return v, false
}

// Clear forgets all, and keeps the memory.
func (o *Open[V]) Clear() { clear(o.slots) }

func (o *Open[V]) grow(n int) {
	old := o.slots
	o.slots, o.shift = make([]openSlot[V], n), 64
	for k := n; k > 1; k >>= 1 {
		o.shift--
	}
	for i := range old {
		if s := &old[i]; s.live {
			home := o.home(s.id)
			// What shared four slots has eight now: there is room.
			for k := home; k < home+openWay; k++ {
				if !o.slots[k].live {
					o.slots[k] = *s
					break
				}
			}
		}
	}
}
