package kernel

import (
	"errors"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
	"os"
	"strings"
	"time"

	"github.com/hopscope/hopscope/internal/event"
	"net"
	"testing"
)

// TestLoad loads and attaches every row; a row that this kernel refuses is
// skipped with the kernel's own words, but the first one has to be there when
// the kernel has its tracepoint.
func TestLoad(t *testing.T) {
	needRoot(t)
	for i := range socketRows {
		r := &socketRows[i]
		t.Run(r.name, func(t *testing.T) {
			start := time.Now()
			c, err := Start(Config{Rows: []string{r.name}})
			if err != nil {
				if given(r) && !refused(err) {
					t.Fatal(err)
				}
				t.Skipf("this kernel does not give it: %v", err)
			}
			t.Logf("started in %v", time.Since(start))
			for _, h := range c.Hooks() {
				t.Logf("%-28s %-35s attached=%v %s", h.Prog, h.At, h.Attached, h.Err)
				if !h.Attached && !strings.HasPrefix(h.At, "cgroup/") && !notPermitted(h) {
					t.Errorf("%s at %s: %s", h.Prog, h.At, h.Err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// given reports whether the kernel has what the row's first hook attaches to.
func given(r *row) bool {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return false
	}
	a := r.hooks[0].at
	name := a.name
	switch a.kind {
	case btfTracepoint:
		var td *btf.Typedef
		return spec.TypeByName("btf_trace_"+name, &td) == nil
	case fexit:
		var fn *btf.Func
		return spec.TypeByName(name, &fn) == nil
	}
	return true
}

// refused: the kernel forbids this kind of program altogether.
func refused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, os.ErrNotExist)
}

// notPermitted reports whether the kernel was told to refuse an iterator, as hardened
// ones are: without it capture goes on. What the verifier finds has other errors.
func notPermitted(h Hook) bool {
	return strings.HasPrefix(h.At, "iter/") && !h.Attached && strings.Contains(h.Err, unix.EPERM.Error())
}

func TestTCP(t *testing.T) {
	r := startRig(t, Config{})
	a, b := tcpPair(t, "127.0.0.1:0")
	must(a.Write([]byte("ping one")))
	must(b.Read(make([]byte, 100)))
	must(b.Write([]byte("pong one")))
	must(a.Read(make([]byte, 100)))
	a.Close()
	b.Read(make([]byte, 1))
	b.Close()
	es := r.until("exchange", func(es []event.Event) bool {
		n := 0
		for _, e := range es {
			if e.Kind == event.KindClose && e.Close.What == event.Gone {
				n++
			}
		}
		return n == 2
	})
	for _, e := range es {
		t.Log(describe(&e))
	}
}
func must(n int, err error) {
	if err != nil {
		panic(err)
	}
}

func tcpPair(t *testing.T, addr string) (a, b net.Conn) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}
