package links

import (
	"context"
	"testing"
	"time"
)

func id(b byte) (t [16]byte) {
	t[0] = b
	return t
}

// memory is a Store of the tests.
type memory map[Key]Trace

func (m memory) Put(entries []Entry) {
	for _, e := range entries {
		m[e.Key] = e.Trace
	}
}

func (m memory) Get(_ context.Context, keys []Key, out []Trace) error {
	for i, k := range keys {
		out[i] = m[k]
	}
	return nil
}

func (memory) Stats() Stats                { return Stats{} }
func (memory) Close(context.Context) error { return nil }

func TestResolveFollowsAliases(t *testing.T) {
	m := memory{}
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
	got, steps, err := Resolve(context.Background(), m, []Key{Exchange(1), Exchange(2), Exchange(3), Exchange(4)})
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
	if got, ok := decode(string(encode(want))); !ok || got != want {
		t.Errorf("%v %t", got, ok)
	}
	for _, b := range [][]byte{nil, make([]byte, 16), make([]byte, 17), append(make([]byte, 16), 2), make([]byte, 18)} {
		if _, ok := decode(string(b)); ok {
			t.Errorf("%x taken", b)
		}
	}
}
