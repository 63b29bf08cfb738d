// Command bench measures what Hopscope costs and prints one table: what each
// stage takes per event (Go benchmarks on recorded events), and, as root, what
// nginx and Redis lose while they are traced. Rounds with and without the
// collector alternate, since a machine's speed drifts; medians are reported.
//
// make bench runs it; every figure in docs/performance.md is from it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds int
	time   time.Duration
	conns  int
	rate   float64
	only   string
	config string
	other  string
	// peer is another agent's command line, which gets peerStart before its rounds.
	peer      string
	peerStart time.Duration
	// profile gets the collector's CPU profiles of all rounds; profiles are these.
	profile  string
	profiles *profiles
	stages   bool
	live     bool
}

func run(ctx context.Context) error {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "pairs of rounds, without and with the collector")
	flag.DurationVar(&o.time, "time", 10*time.Second, "length of a round")
	flag.IntVar(&o.conns, "conns", 16, "connections")
	flag.Float64Var(&o.rate, "rate", 5000, "requests per second of the paced work")
	flag.StringVar(&o.only, "only", "", "comma-separated names of the works to run; all if empty")
	flag.StringVar(&o.config, "config", "", "collector configuration instead of the built-in one (sockets captured, nop exporter)")
	flag.StringVar(&o.other, "against", "", "another distribution, an earlier build for one: every pair has a round with it too, and each work a second row")
	flag.StringVar(&o.peer, "peer", "", "command `line` of another agent, split at spaces: every pair has a round with it too, and each work a row; it must stay one process that ends on SIGTERM")
	flag.DurationVar(&o.peerStart, "peer-start", 10*time.Second, "how long the peer gets to start, before its round")
	flag.StringVar(&o.profile, "profile", "", "file to write a CPU profile of the collector to, all rounds together (its figures are worth nothing then)")
	flag.BoolVar(&o.stages, "stages", true, "run the Go benchmarks")
	flag.BoolVar(&o.live, "live", true, "measure nginx and Redis")
	flag.Parse()

	machine()
	if o.stages {
		if err := stages(ctx); err != nil {
			return err
		}
	}
	if !o.live {
		return nil
	}
	if os.Geteuid() != 0 {
		fmt.Println("\nWithout root no BPF program can be loaded: what tracing costs nginx and Redis is not measured.")
		return nil
	}
	bin, err := rig.Binary()
	if err != nil {
		return err
	}
	return live(ctx, bin, o)
}

// machine names what the figures were measured on.
func machine() {
	cpu := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	var uts syscall.Utsname
	kernel := "unknown"
	if syscall.Uname(&uts) == nil {
		var b []byte
		for _, c := range uts.Release {
			if c == 0 {
				break
			}
			b = append(b, byte(c))
		}
		kernel = string(b)
	}
	fmt.Printf("%s: %d CPUs, %s, Linux %s, %s\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), cpu, kernel, runtime.Version())
}

// live measures each work.
func live(ctx context.Context, bin string, o options) error {
	config := ""
	if o.config != "" {
		b, err := os.ReadFile(o.config)
		if err != nil {
			return err
		}
		config = string(b)
	}
	if o.profile != "" {
		dir, err := os.MkdirTemp("", "hopscope-profile-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.profiles = &profiles{dir: dir}
	}
	with := []agent{distribution(bin, o.profiles)}
	if o.other != "" {
		with = append(with, distribution(o.other, o.profiles))
	}
	if o.peer != "" {
		p, err := peer(o.peer, o.peerStart)
		if err != nil {
			return err
		}
		with = append(with, p)
	}
	fmt.Printf("\nLive: medians of %d pairs of %v rounds, %d connections; both ends are on this host and captured.\n", o.rounds, o.time, o.conns)
	fmt.Println(liveHeader)
	for _, w := range works(o) {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), w.name) {
			continue
		}
		if err := rig.Missing(w.needs...); err != nil {
			fmt.Printf("| %s | not measured: %v |\n", w.name, err)
			continue
		}
		dir, err := os.MkdirTemp("", "hopscope-bench-")
		if err != nil {
			return err
		}
		pairs, err := measure(ctx, w, with, config, dir, o)
		os.RemoveAll(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Println(liveRow(w.name, pairs[0]))
		for i, a := range with[1:] {
			fmt.Println(liveRow(w.name+", "+a.name, pairs[i+1]))
		}
	}
	return o.profiles.merge(ctx, o.profile)
}

// pair is one round without an agent and one with it.
type pair struct{ without, with round }

// measure runs a work's rounds against one server, and gives the pairs of each
// agent. Rounds without one are shared; who goes first alternates.
func measure(ctx context.Context, w work, agents []agent, config, dir string, o options) ([][]pair, error) {
	server, err := w.start(dir)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	if config == "" {
		config = fmt.Sprintf(defaultConfig, server.Port)
	}
	load, err := w.prepare(ctx, dir, server)
	if err != nil {
		return nil, err
	}
	// Warm: caches, frequency, the server's own memory.
	if _, err := once(ctx, load, server, running{}, min(o.time, 2*time.Second)); err != nil {
		return nil, err
	}
	pairs := make([][]pair, len(agents))
	for i := range o.rounds {
		without, err := once(ctx, load, server, running{}, o.time)
		if err != nil {
			return nil, err
		}
		for k := range agents {
			k := (i + k) % len(agents)
			with, err := traced(ctx, load, server, agents[k], config, filepath.Join(dir, fmt.Sprint(i, "-", k)), o)
			if err != nil {
				return nil, err
			}
			pairs[k] = append(pairs[k], pair{without, with})
			fmt.Fprintf(os.Stderr, "%s %d/%d: %.0f/s without, %.0f/s with %s, %.2f s per million\n", w.name, i+1, o.rounds,
				without.rate(), with.rate(), agents[k].name, with.perMillion())
		}
	}
	return pairs, nil
}

func traced(ctx context.Context, load loadFunc, server *rig.Server, a agent, config, dir string, o options) (round, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return round{}, err
	}
	run, err := a.start(dir, config)
	if err != nil {
		return round{}, err
	}
	r, err := once(ctx, load, server, run, o.time)
	return r, errors.Join(err, run.Stop())
}
