package kernel

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"debug/elf"

	"github.com/hopscope/hopscope/internal/event"
)

// goid is the number of the goroutine that calls it.
func goid() (id uint64) {
	var b [64]byte
	fmt.Sscanf(string(b[:runtime.Stack(b[:], false)]), "goroutine %d ", &id)
	return id
}

// TestGoAsks: the goroutine that asks is told before its request is sent, on the
// socket that it is sent on.
func TestGoAsks(t *testing.T) {
	r := startRig(t, Config{GoUprobes: true})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, q.URL.Path) }))
	defer srv.Close()
	// Other executables may be hooked before this one: until it is, nothing is told.
	ask := func(n int) (id uint64) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			id = goid()
			resp, err := http.Get(fmt.Sprintf("%s/asked%d,", srv.URL, n))
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}()
		<-done
		return id
	}
	limit := time.Now().Add(20 * time.Second)
	for n := 0; ; n++ {
		want := ask(n)
		head := fmt.Sprintf("GET /asked%d,", n)
		es := r.until(head, func(es []event.Event) bool { return len(moved(es, event.Send, head)) > 0 })
		sent := moved(es, event.Send, head)[0]
		var asked *event.Event
		for i := range es {
			if e := &es[i]; e.Kind == event.KindHandover && e.Sock == sent.Sock && e.Time < sent.Time {
				asked = e
			}
		}
		if asked != nil && sent.Data.Goid != 0 {
			if h := asked.Handover; h.Goid != want || h.What != event.Asks || h.Goid == sent.Data.Goid {
				t.Errorf("goroutine %d asks (%d), want %d; %d sends", h.Goid, h.What, want, sent.Data.Goid)
			}
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("nobody was told to ask: %+v %+v", r.c.Stats(), r.c.Hooks())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if st := r.c.Stats(); st.GoHooked == 0 {
		t.Errorf("hooks run in no executable: %+v", st)
	}
}

// TestGoFunc: functions are found by symbols and without, and at their beginning.
func TestGoFunc(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\n\nimport \"net/http\"\n\nfunc main() { http.Get(\"http://127.0.0.1:1/\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := map[string]uint64{}
	for _, flags := range []string{"", "-s -w"} {
		bin := filepath.Join(dir, "prog"+strings.ReplaceAll(flags, " ", ""))
		if out, err := exec.Command("go", "build", "-o", bin, "-ldflags="+flags, src).CombinedOutput(); err != nil {
			t.Skipf("no Go tools here: %v: %s", err, out)
		}
		f, err := elf.Open(bin)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, h := range goHooks {
			if !strings.HasPrefix(h.symbol, "net/http.") {
				continue
			}
			all, err := goFuncs(f, []string{h.symbol})
			if err != nil {
				t.Fatal(err)
			}
			n, err := goFunc(f, all, h.symbol)
			if err != nil {
				t.Errorf("%q: %v", flags, err)
			}
			if at[h.symbol] == 0 {
				at[h.symbol] = n
			} else if at[h.symbol] != n {
				t.Errorf("%s at %#x by symbol, at %#x without", h.symbol, at[h.symbol], n)
			}
		}
		if all, err := goFuncs(f, []string{"net/http.nothing"}); err != nil || len(all) != 0 {
			t.Errorf("a function is found that is not there: %v, %v", all, err)
		}
		o, err := goOffsetsOf(bin)
		if err != nil {
			t.Fatal(err)
		}
		e, err := openGo(bin, o)
		if err != nil {
			t.Fatal(err)
		}
		defer e.file.Close()
		var l goLayout
		if err := persistConn(e, &l); err != nil {
			t.Error(err)
		}
		if at, ok := e.field("net/http.persistConn", "conn"); (flags == "") != ok || ok && at != l.Conn {
			t.Errorf("%q: the connection is at %d by version, at %d (%v) by DWARF", flags, l.Conn, at, ok)
		}
	}
}

func TestPrologue(t *testing.T) {
	for _, c := range []struct {
		m    elf.Machine
		b    string
		want bool
	}{
		{elf.EM_X86_64, "\x49\x3b\x66\x10\x76\x01\x55\x48\x89\xe5\x48\x83\xec", true},
		{elf.EM_X86_64, "\x4c\x8d\x64\x24\xe8\x4d\x3b\x66\x10\x76\x01\x55\x48", true},
		{elf.EM_X86_64, "\x4c\x8d\xa4\x24\x00\xff\xff\xff\x4d\x3b\x66\x10\x0f", true},
		{elf.EM_X86_64, "\x55\x48\x89\xe5\x48\x83\xec\x10\x90\x90\x90\x90\x90", false},
		{elf.EM_AARCH64, "\x90\x0b\x40\xf9\xff\x63\x30\xeb\x09\x01\x00\x54\x00", true},
		{elf.EM_AARCH64, "\xfd\x7b\xbf\xa9\xff\x63\x30\xeb\x09\x01\x00\x54\x00", false},
		{elf.EM_386, strings.Repeat("\x49", prologueSize), false},
	} {
		if got := prologue(c.m, []byte(c.b)); got != c.want {
			t.Errorf("%v %x: %v", c.m, c.b, got)
		}
	}
	if prologue(elf.EM_X86_64, bytes.Repeat([]byte{0}, prologueSize)) {
		t.Error("zeros are a function")
	}
}
