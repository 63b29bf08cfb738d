package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// stage is one line of `go test -bench`.
type stage struct {
	pkg, name string
	metrics   map[string]float64 // unit: value
}

// stages runs the benchmarks of all our packages, on one core, and prints them.
func stages(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=.", "-benchmem", "-cpu=1", "-p=1", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	all := readStages(out)
	if len(all) == 0 {
		return fmt.Errorf("go test -bench ran no benchmark: %v\n%s", err, out)
	}
	if err != nil {
		// One broken package must not cost the figures of all others.
		fmt.Fprintf(os.Stderr, "go test -bench: %v; what failed:\n", err)
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "FAIL") {
				fmt.Fprint(os.Stderr, "  ", line)
			}
		}
	}
	fmt.Println("\nStages: one core; ns of one operation, which the benchmark's name tells.")
	fmt.Println("| package | benchmark | ns/op | allocs/op | B/op | more |\n| --- | --- | --: | --: | --: | --- |")
	for _, s := range all {
		fmt.Printf("| %s | %s | %s | %.0f | %.0f | %s |\n", s.pkg, s.name,
			strconv.FormatFloat(s.metrics["ns/op"], 'f', digits(s.metrics["ns/op"]), 64),
			s.metrics["allocs/op"], s.metrics["B/op"], s.more())
	}
	return nil
}

// digits are those after the point that mean something.
func digits(v float64) int {
	switch {
	case v < 10:
		return 2
	case v < 100:
		return 1
	}
	return 0
}

// more is what a benchmark reports of its own, events/s above all.
func (s stage) more() string {
	var out []string
	for _, unit := range []string{"events/s", "ns/event", "allocs/event", "exchanges/s", "ns/exchange", "allocs/exchange", "MB/s", "spans/s", "MiB", "cpu-ns/call", "cpu-ns/msg", "share"} {
		if v, ok := s.metrics[unit]; ok {
			out = append(out, strconv.FormatFloat(v, 'f', digits(v), 64)+" "+unit)
		}
	}
	return strings.Join(out, ", ")
}

func readStages(out []byte) []stage {
	var all []stage
	pkg := ""
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if p, ok := strings.CutPrefix(s.Text(), "pkg: "); ok {
			pkg = strings.TrimPrefix(p, "github.com/hopscope/hopscope/")
			continue
		}
		f := strings.Fields(s.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		st := stage{pkg: pkg, name: strings.TrimPrefix(f[0], "Benchmark"), metrics: map[string]float64{}}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				st.metrics[f[i+1]] = v
			}
		}
		all = append(all, st)
	}
	return all
}
