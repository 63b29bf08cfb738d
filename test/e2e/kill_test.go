package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/test/pace"
	"github.com/hopscope/hopscope/test/rig"
)

// TestKill: kill -9 of the collector under load. No request fails, no BPF program
// is left, and a new collector picks up the connections that were open all along.
func TestKill(t *testing.T) {
	bin := binary(t)
	asRoot(t)
	installed(t, "nginx")
	nginx, err := rig.Nginx(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()

	// The load runs through all of it, on connections older than both collectors.
	const conns, rate = 8, 1000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type outcome struct {
		*pace.Result
		error
	}
	ended := make(chan outcome, 1)
	go func() {
		r, err := pace.Run(ctx, pace.Load{Addr: nginx.Addr(), Path: "/", Conns: conns, Rate: rate})
		ended <- outcome{r, err}
	}()

	dir := t.TempDir()
	var files []string
	var programs []ebpf.ProgramID
	for i := range 2 {
		file := filepath.Join(dir, fmt.Sprintf("spans%d.json", i))
		files = append(files, file)
		c, err := rig.StartCollector(bin, t.TempDir(), fmt.Sprintf(toFile, nginx.Port, file))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Kill()
		err = c.Until(20*time.Second, func() error {
			// Hooks are attached one after the other, and each takes a while: what
			// only one of them saw is incomplete.
			whole := 0
			for _, s := range spansIn(t, file) {
				if s.Kind() == ptrace.SpanKindClient && s.str("hopscope.incomplete") == "" {
					whole++
				}
			}
			if whole < rate/2 {
				return fmt.Errorf("%d whole client spans", whole)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("collector %d: %v\n%s", i, err, c.Log().Tail(4000))
		}
		ids, err := programsOf(c.PID())
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			t.Fatal("the collector holds no BPF program: this test would check nothing")
		}
		programs = append(programs, ids...)
		c.Kill()
	}
	cancel()
	load := <-ended
	if load.error != nil {
		t.Fatal(load.error)
	}
	if len(load.Failures) != 0 || load.OK != load.Sent {
		t.Errorf("%d of %d requests answered: %v", load.OK, load.Sent, load.Failures)
	}

	// The kernel frees programs after a grace period.
	err = rig.Until(10*time.Second, func() error {
		for _, id := range programs {
			p, err := ebpf.NewProgramFromID(id)
			if err == nil {
				p.Close()
				return fmt.Errorf("BPF program %d is still loaded", id)
			}
			if !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("BPF program %d: %w", id, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	// Each collector saw each connection, at both ends.
	for i, file := range files {
		seen := map[string]int{}
		for _, s := range spansIn(t, file) {
			if s.str("hopscope.incomplete") != "" {
				continue
			}
			if s.str("url.path") != "/" || s.str("http.response.status_code") != "200" {
				t.Errorf("collector %d: not one of our requests: %v", i, s)
				break
			}
			seen[s.str("hopscope.capture.point")+" "+s.str("client.port")]++
		}
		for _, port := range load.LocalPorts {
			for _, point := range []string{"c-p", "s-p"} {
				if seen[fmt.Sprint(point, " ", port)] == 0 {
					t.Errorf("collector %d: no span of connection %d at %s", i, port, point)
				}
			}
		}
	}
	t.Logf("%d requests, %d BPF programs", load.Sent, len(programs))
}

// programsOf are the BPF programs that a process holds, directly or by a link.
func programsOf(pid int) ([]ebpf.ProgramID, error) {
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	var ids []ebpf.ProgramID
	for _, info := range infos {
		b, err := os.ReadFile(info)
		if err != nil {
			continue // closed since
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "prog_id:"); ok {
				id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", info, err)
				}
				ids = append(ids, ebpf.ProgramID(id))
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
