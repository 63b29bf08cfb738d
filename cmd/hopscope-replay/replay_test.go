package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus finds the captures: HOPSCOPE_CORPUS, else ../shared/corpus beside the
// repository.
func corpus(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("HOPSCOPE_CORPUS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "shared/corpus")); err == nil {
			return filepath.Join(dir, "shared/corpus")
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	return ""
}

// TestCorpus: no capture stops the stages, and every exchange is a span.
func TestCorpus(t *testing.T) {
	n := 0
	err := filepath.WalkDir(filepath.Join(corpus(t), "packets"), func(path string, e os.DirEntry, err error) error {
		name := strings.TrimSuffix(path, ".gz")
		if err != nil || !strings.HasSuffix(name, ".pcap") && !strings.HasSuffix(name, ".pcapng") {
			return err
		}
		n++
		p, err := newPlayer(options{format: "none", point: "rest", flows: true}, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.play(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := p.flush(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if p.spans != p.exchanges {
			t.Errorf("%s: %d exchanges, %d spans", path, p.exchanges, p.spans)
		}
		if a := p.asm.Stats(); a.Live.Load() != 0 || a.HeldBytes.Load() != 0 {
			t.Errorf("%s: %d connections and %d bytes left", path, a.Live.Load(), a.HeldBytes.Load())
		}
		return nil
	})
	if err != nil || n < 400 {
		t.Errorf("%d captures, %v", n, err)
	}
}

func TestFlags(t *testing.T) {
	file := filepath.Join(corpus(t), "packets/live/http1-keepalive.vlan.pcap.gz")
	var out, trouble bytes.Buffer
	if err := run([]string{"-format", "otlp", "-stats", "-flows", file}, &out, &trouble); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, `"hopscope.exchange.xid"`) || !strings.Contains(s, `"hopscope.flow.close_type"`) || !strings.Contains(trouble.String(), "http exchanges") {
		t.Errorf("%.300s\n%s", s, trouble.String())
	}
	for _, bad := range [][]string{{}, {"-format", "x", file}, {"-protocols", "x", file}, {"-point", "x", file}, {"/nonexistent"}} {
		if err := run(bad, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// BenchmarkStages is one core through stages 2 to 6, on captures of the corpus;
// scripts/bench-packets.sh makes larger ones from real servers.
func BenchmarkStages(b *testing.B) {
	for _, name := range []string{"http1-vxlan", "redis-p1", "redis-p32.vlan", "mysql-sysbench-text", "pgsql-simple", "dns-udp", "mongo", "grpc.vlan"} {
		b.Run(name, func(b *testing.B) {
			z, err := os.Open(filepath.Join(corpus(b), "packets/live", name+".pcap.gz"))
			if err != nil {
				b.Fatal(err)
			}
			defer z.Close()
			r, err := gzip.NewReader(z)
			if err != nil {
				b.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				b.Fatal(err)
			}
			file := filepath.Join(b.TempDir(), name)
			if err := os.WriteFile(file, data, 0o600); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var frames, exchanges uint64
			for b.Loop() {
				p, err := newPlayer(options{format: "none", point: "rest"}, io.Discard, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.play(file); err != nil {
					b.Fatal(err)
				}
				if err := p.flush(); err != nil {
					b.Fatal(err)
				}
				frames += p.frames
				exchanges += p.exchanges
			}
			b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(float64(exchanges)/b.Elapsed().Seconds(), "exchanges/s")
		})
	}
}
