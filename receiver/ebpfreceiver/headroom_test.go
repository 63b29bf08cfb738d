package ebpfreceiver

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fakeHeap is a runtime whose heap does as it is told.
type fakeHeap struct {
	live, allocated uint64
	percent, freed  int
}

func (f *fakeHeap) runtime() heapRuntime {
	return heapRuntime{
		heap:    func() (uint64, uint64) { return f.live, f.allocated },
		percent: func(p int) int { old := f.percent; f.percent = p; return old },
		free:    func() { f.freed++ },
	}
}

// TestHeadroom: room follows what is allocated, within its bound, and is given
// back some seconds later; what it comes to is right for what is alive.
func TestHeadroom(t *testing.T) {
	t.Setenv("GOGC", "")
	const mb = 1 << 20
	f := &fakeHeap{live: 8 * mb, percent: 77}
	h, now := newHeadroom(100*mb, f.runtime()), time.Unix(1, 0)
	second := func(bytes uint64) {
		for range 10 {
			now = now.Add(100 * time.Millisecond)
			f.allocated += bytes / 10
			h.tick(now)
		}
	}
	for i, c := range []struct {
		live, rate uint64
		seconds    int
		room       uint64 // of which percent is made
	}{
		{8 * mb, 10 * mb, 3, 24 * mb},
		{8 * mb, 60 * mb, 2, 60 * mb},
		{16 * mb, 60 * mb, 1, 60 * mb},
		{8 * mb, 500 * mb, 1, 100 * mb},
		{8 * mb, 60 * mb, 20, 100 * mb},
		{8 * mb, 30 * mb, calmSeconds - 1, 100 * mb},
		{8 * mb, 30 * mb, 2, 30 * mb},
		{60 * mb, 30 * mb, 2, 60 * mb}, // Go's own rule is more
		{1 * mb, 1 * mb, 20, 30 * mb},  // it would not be half of it
	} {
		f.live = c.live
		for range c.seconds {
			second(c.rate)
		}
		got := max(f.live, leastLive) * uint64(f.percent) / 100
		if got < c.room*7/8-mb || got > c.room*9/8+mb {
			t.Errorf("step %d: room for %d MB at %d percent, want %d", i, got/mb, f.percent, c.room/mb)
		}
	}
	if f.freed < 2 {
		t.Errorf("memory was given back %d times", f.freed)
	}
	h.stop()
	if f.percent != 77 {
		t.Errorf("percent %d is left behind", f.percent)
	}
}

// TestHeadroomOff: 0 and GOGC leave the runtime alone.
func TestHeadroomOff(t *testing.T) {
	f := &fakeHeap{percent: 77}
	t.Setenv("GOGC", "400")
	a := newHeadroom(100<<20, f.runtime())
	t.Setenv("GOGC", "")
	b := newHeadroom(0, f.runtime())
	a.tick(time.Unix(1, 0))
	b.stop()
	if a != nil || b != nil || f.percent != 77 {
		t.Errorf("%v, %v, percent %d", a, b, f.percent)
	}
}

// TestMemoryLimit reads the limits of control groups of both versions, the
// smallest of those on the way up.
func TestMemoryLimit(t *testing.T) {
	for what, c := range map[string]struct {
		files map[string]string
		want  uint64
	}{
		"none":      {nil, noLimit},
		"unlimited": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, noLimit},
		"own":       {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "536870912\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 512 << 20},
		"above":     {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "1048576\n"}, 1 << 20},
		"container": {map[string]string{"proc/self/cgroup": "0::/../../pod/x\n", "sys/fs/cgroup/memory.max": "2097152\n"}, 2 << 20},
		"version 1": {map[string]string{"proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/x\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "4194304\n"}, 4 << 20},
		"nonsense":  {map[string]string{"proc/self/cgroup": "0::\n:\nx\n\n", "sys/fs/cgroup/memory.max": "-5\n"}, noLimit},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryLimit(root); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}
