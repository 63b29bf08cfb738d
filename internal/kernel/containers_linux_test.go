package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// TestContainerBeginsLater: a container that is asked for, and a cgroup below one
// that is asked for, may begin when capture runs already; sockets that were
// refused until then are judged anew.
func TestContainerBeginsLater(t *testing.T) {
	needRoot(t)
	root, err := cgroupRoot()
	if errors.Is(err, errNoCgroup2) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(root, fmt.Sprintf("hopscope-test-%d", os.Getpid()))
	make1 := func(dir string) {
		t.Helper()
		if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
			t.Skipf("no cgroup can be made here: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
	}
	enter := func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0)
	}
	home := root
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				home = filepath.Join(root, p)
			}
		}
	}
	make1(top)
	t.Cleanup(func() {
		if err := enter(home); err != nil {
			t.Errorf("back home: %v", err)
		}
	})
	id := fmt.Sprintf("%064x", os.Getpid())
	t.Run("kept out", func(t *testing.T) {
		r := startRig(t, Config{Filter: Filter{ExcludeCgroups: []string{filepath.Join(filepath.Base(top), "out")}}})
		a, b := fdPair(t)
		defer unix.Close(a)
		defer unix.Close(b)
		send(t, a, "seen")
		recv(t, b, 4)
		r.until("seen", func(es []event.Event) bool { return len(moved(es, event.Recv, "seen")) == 1 })
		dir := filepath.Join(top, "out")
		make1(dir)
		if err := enter(dir); err != nil {
			t.Skipf("no process can be moved here: %v", err)
		}
		defer func() { _ = enter(home) }()
		for limit := time.Now().Add(5 * time.Second); ; {
			_ = exec.Command("/bin/true").Run()
			had := len(r.ch)
			for range had {
				<-r.ch
			}
			send(t, a, "unseen")
			recv(t, b, 6)
			time.Sleep(20 * time.Millisecond)
			seen := 0
			for len(r.ch) > 0 {
				if e := <-r.ch; e.Kind == event.KindData {
					seen++
				}
			}
			if seen == 0 {
				return
			}
			if time.Now().After(limit) {
				t.Fatal("still told of what is kept out")
			}
		}
	})
	for name, f := range map[string]Filter{
		"container": {Containers: []string{id[40:]}},
		"cgroup":    {Cgroups: []string{filepath.Base(top)}},
		"path":      {Cgroups: []string{filepath.Join(filepath.Base(top), "path-"+id)}},
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan bool, 8)
			r := startRig(t, Config{Filter: f, Cgroup: func(_ string, there bool) { told <- there }})
			if (len(told) == 1) != (name == "path") {
				t.Errorf("told of %d that are missing", len(told))
			}
			a, b := fdPair(t)
			defer unix.Close(a)
			defer unix.Close(b)
			send(t, a, "too early")
			recv(t, b, 9)
			dir := filepath.Join(top, name+"-"+id)
			make1(dir)
			if err := enter(dir); err != nil {
				t.Skipf("no process can be moved here: %v", err)
			}
			defer func() { _ = enter(home) }()
			c, d := fdPair(t) // with sockets of its own it is let in at once, or soon
			defer unix.Close(c)
			defer unix.Close(d)
			want := map[string]int{"container": 2, "cgroup": 1, "path": 2}[name]
			socks := map[uint64]bool{}
			for limit := time.Now().Add(5 * time.Second); len(socks) < want; {
				if time.Now().After(limit) {
					t.Fatalf("%d sockets let in, want %d; %+v", len(socks), want, r.c.Stats())
				}
				_ = exec.Command("/bin/true").Run() // somebody begins there
				for _, fd := range [][2]int{{a, b}, {c, d}} {
					if name == "cgroup" && fd[0] == a {
						continue // nothing tells that it is to be judged again
					}
					send(t, fd[0], "and now")
					recv(t, fd[1], 7)
				}
				for len(r.ch) > 0 {
					r.events = append(r.events, <-r.ch)
				}
				for _, e := range moved(r.events, event.Recv, "and now") {
					socks[e.Sock] = true
				}
			}
			es := r.events
			if n := len(moved(es, event.Recv, "too early")); n > 0 {
				t.Errorf("%d calls of before", n)
			}
			if name == "path" {
				if was, is := <-told, <-told; was || !is {
					t.Errorf("told that it is there: at the start %v, then %v", was, is)
				}
			}
		})
	}
}
