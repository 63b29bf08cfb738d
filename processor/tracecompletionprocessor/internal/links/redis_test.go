package links

import (
	"context"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/test/rig"
)

// realRedis starts a Redis of this test's own.
func realRedis(t testing.TB) *rig.Server {
	t.Helper()
	if err := rig.Missing("redis-server"); err != nil {
		t.Skip(err)
	}
	s, err := rig.Redis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// TestRedis: what one host puts, another finds; a definite trace stays; entries
// go after their time; when Redis dies, look-ups fail within their time and
// nothing else happens.
func TestRedis(t *testing.T) {
	s := realRedis(t)
	open := func() *Redis {
		return NewRedis(RedisSettings{Addresses: []string{s.Addr()}, Prefix: "t:", TTL: time.Second, Queue: 1024})
	}
	a, b := open(), open()
	const n = 5000
	var entries []Entry
	lids := make([]Key, n)
	for i := range lids {
		lids[i] = Exchange(hop.Key(i + 1))
		entries = append(entries, Entry{lids[i], Trace{id(byte(i%200 + 1)), true}})
	}
	a.Put(entries)
	a.Put([]Entry{{Exchange(1), Trace{id(250), false}}})
	a.Put([]Entry{{Exchange(1), Trace{id(7), true}}})
	a.Put([]Entry{{Alias(id(2)), Trace{id(251), false}}})
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st := a.Stats(); st.Puts != n+3 || st.PutErrors+st.PutDropped != 0 {
		t.Fatalf("%+v", st)
	}
	got, steps, err := Resolve(context.Background(), b, lids)
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != (Trace{id(250), false}) || got[1] != (Trace{id(251), false}) || got[2] != (Trace{id(3), true}) || steps != 1 {
		t.Errorf("%v %v %v in %d steps", got[0], got[1], got[2], steps)
	}
	if st := b.Stats(); st.Hits < n {
		t.Errorf("%d of %d found", st.Hits, n)
	}
	err = rig.Until(5*time.Second, func() error {
		out := make([]Trace, 1)
		if err := b.Get(context.Background(), []Key{Exchange(3)}, out); err != nil {
			return err
		}
		if out[0] != (Trace{}) {
			return context.DeadlineExceeded
		}
		return nil
	})
	if err != nil {
		t.Errorf("an entry outlived its time: %v", err)
	}
	s.Kill()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := Resolve(ctx, b, lids[:10]); err == nil {
		t.Error("found in a Redis that is dead")
	}
	// Ten times the limit: the machine may be busy; without a limit it is seconds.
	if d := time.Since(began); d > 200*time.Millisecond {
		t.Errorf("a look-up in a dead Redis took %v", d)
	}
	b.Put([]Entry{{Exchange(9), Trace{id(9), true}}})
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if st := b.Stats(); st.PutErrors != 1 || st.GetErrors == 0 {
		t.Errorf("%+v", st)
	}
}

// BenchmarkRedisLinks is one link put and looked up, in pipelines.
func BenchmarkRedisLinks(b *testing.B) {
	s := realRedis(b)
	r := NewRedis(RedisSettings{Addresses: []string{s.Addr()}, Prefix: "b:", TTL: time.Minute, Queue: 1024})
	defer r.Close(context.Background())
	const per = 1000
	keys, out := make([]Key, per), make([]Trace, per)
	for n := 0; n < b.N; n += per {
		entries := make([]Entry, per)
		for i := range entries {
			keys[i] = Exchange(hop.Key(n + i + 1))
			entries[i] = Entry{keys[i], Trace{id(1), true}}
		}
		r.flush(entries)
		if err := r.Get(context.Background(), keys, out); err != nil {
			b.Fatal(err)
		}
	}
}
