package links

import (
	"context"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
)

func id(b byte) (t [16]byte) {
	t[0] = b
	return t
}

func TestMemory(t *testing.T) {
	m := NewMemory(time.Minute)
	now := time.Unix(0, 0)
	m.now = func() time.Time { return now }
	get := func(k Key) Trace {
		var out [1]Trace
		if err := m.Get(context.Background(), []Key{k}, out[:]); err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	k := Exchange(1)
	m.Put([]Entry{{k, Trace{id(1), true}}})
	m.Put([]Entry{{k, Trace{id(2), false}}})
	m.Put([]Entry{{k, Trace{id(3), true}}})
	if got := get(k); got != (Trace{id(2), false}) {
		t.Errorf("a provisional trace took the place of a definite one: %v", got)
	}
	now = now.Add(61 * time.Second)
	m.Put(nil)
	if get(k).ID != id(2) {
		t.Error("gone before twice its time")
	}
	now = now.Add(61 * time.Second)
	m.Put(nil)
	if get(k).ID != [16]byte{} {
		t.Error("still there after twice its time")
	}
}

func TestResolveFollowsAliases(t *testing.T) {
	m := NewMemory(time.Minute)
	m.Put([]Entry{
		{Exchange(1), Trace{id(1), true}},
		{Alias(id(1)), Trace{id(2), true}},
		{Alias(id(2)), Trace{id(3), false}},
		{Exchange(2), Trace{id(9), true}},
		{Alias(id(9)), Trace{id(9), true}}, // itself
		{Exchange(3), Trace{id(7), true}},
		{Alias(id(7)), Trace{id(8), true}}, // a loop
		{Alias(id(8)), Trace{id(7), true}},
	})
	got, steps, err := Resolve(context.Background(), m, []hop.Key{1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != (Trace{id(3), false}) || got[1].ID != id(9) || got[3].ID != [16]byte{} || steps != MaxChain {
		t.Errorf("got %v in %d steps", got, steps)
	}
}

func TestRedisAwayCostsNoTime(t *testing.T) {
	// Nobody listens on the port: look-ups fail at once or at the deadline.
	r := NewRedis(RedisSettings{Addresses: []string{"127.0.0.1:1"}, TTL: time.Minute, Queue: 1})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var out [1]Trace
	if err := r.Get(ctx, []Key{Exchange(1)}, out[:]); err == nil || out[0].ID != [16]byte{} {
		t.Errorf("found %v, error %v", out, err)
	}
	for range 100 { // never blocks, whatever becomes of them
		r.Put([]Entry{{Exchange(1), Trace{id(1), true}}})
	}
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.PutErrors+s.PutDropped != 100 || s.GetErrors != 1 {
		t.Errorf("%+v", s)
	}
}

func TestDecode(t *testing.T) {
	want := Trace{id(5), true}
	if got, ok := decode(encode(want)); !ok || got != want {
		t.Errorf("%v %t", got, ok)
	}
	for _, b := range [][]byte{nil, make([]byte, 16), make([]byte, 17), append(make([]byte, 16), 2), make([]byte, 18)} {
		if _, ok := decode(b); ok {
			t.Errorf("%x taken", b)
		}
	}
}
