package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// script is an executable of the test's folder.
func script(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "other-agent")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// idle is a server that does nothing.
func idle(t *testing.T) *rig.Server {
	p, err := rig.Start("sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return &rig.Server{Process: p}
}

func TestPeer(t *testing.T) {
	server := idle(t)
	// It works while there is load, which is its own CPU time, and ends by its pid.
	a, err := peer(script(t, `test "$1 $2" = "--a b" || exit 3; while :; do :; done`)+" --a  b", 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if a.name != "other-agent" {
		t.Errorf("named %q", a.name)
	}
	load := func(context.Context, time.Duration) (sample, error) {
		return sample{requests: 1000, took: time.Second}, nil
	}
	var o options
	r, err := traced(t.Context(), load, server, a, "", filepath.Join(t.TempDir(), "0"), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.told || r.spans != 0 || r.rss == 0 {
		t.Errorf("told %v, %v spans, RSS %d", r.told, r.spans, r.rss)
	}
	if r.collectorCPU <= 0 || r.collectorCPU > r.wall+100*time.Millisecond {
		t.Errorf("CPU %v in %v", r.collectorCPU, r.wall)
	}
}

func TestPeerThatEnds(t *testing.T) {
	server := idle(t)
	for _, start := range []time.Duration{time.Minute, 0} {
		a, err := peer(script(t, "echo no kprobes here; exit 3"), start)
		if err != nil {
			t.Fatal(err)
		}
		run, err := a.start(t.TempDir(), "")
		if err == nil {
			<-run.Ended()
			_, err = use(server, run)
		}
		if err == nil || !strings.Contains(err.Error(), "no kprobes here") || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("after %v: %v", start, err)
		}
	}
}

func TestPeerThatIsNot(t *testing.T) {
	for _, command := range []string{" ", "no-such-agent-anywhere --x"} {
		if _, err := peer(command, 0); err == nil || !strings.Contains(err.Error(), "-peer") {
			t.Errorf("%q: %v", command, err)
		}
	}
}
