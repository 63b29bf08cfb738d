// Hopscope-replay plays captures (pcap, pcapng, compressed or not) and
// recordings of the receiver through the same stages that live traffic takes,
// and prints the spans. It needs no root, no network and no Linux: it is the
// first tool of every bug report.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"
)

// What lives is small, what is made and dropped is little: the heap may grow by
// heapRoom*gcPercent/100, sixteen megabytes, beyond what gcPercent of the living
// gives, so that a small heap is not collected again and again. Memory does not
// grow with the file.
const (
	gcPercent = 200
	heapRoom  = 8 << 20 // never touched: it takes address space alone
)

func main() {
	debug.SetGCPercent(gcPercent)
	room := make([]byte, heapRoom)
	defer runtime.KeepAlive(room)
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "hopscope-replay:", err)
		}
		os.Exit(1)
	}
}

type options struct {
	format  string
	only    string
	stats   bool
	timeout time.Duration
	point   string
	flows   bool
	plugins pluginOptions
}

func run(args []string, stdout, stderr io.Writer) (err error) {
	var o options
	fs := flag.NewFlagSet("hopscope-replay", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: hopscope-replay [flags] file...   (\"-\" is standard input)")
		fs.PrintDefaults()
	}
	fs.StringVar(&o.format, "format", "table", "what to print: table, otlp (one batch of spans per line), none")
	fs.StringVar(&o.only, "protocols", "", "comma-separated names of the protocols to read (default: all)")
	fs.BoolVar(&o.stats, "stats", false, "print the counters of all stages to standard error")
	fs.DurationVar(&o.timeout, "timeout", 0, "how long a request waits for its answer (default: as the receiver)")
	fs.StringVar(&o.point, "point", "rest", "capture point of packets: c, c-nd, rest, s-nd, s ...")
	fs.BoolVar(&o.flows, "flows", false, "print a record of every flow too, as OTLP logs")
	fs.Var(&o.plugins.paths, "plugin", "WebAssembly plugin that spans go through, may be given several times: the table then is what it changed, and what it cost. Without a file: only whether it loads")
	fs.Var(&o.plugins.settings, "set", "KEY=VALUE that plugins may read")
	fs.IntVar(&o.plugins.payload, "payload", 16<<10, "bytes of each message that plugins see")
	fs.StringVar(&o.plugins.ports, "unparsed", "", "comma-separated ports whose messages plugins see if no protocol knows them (default: all)")
	fs.DurationVar(&o.plugins.timeout, "call-timeout", 0, "how long a call of a plugin may take (default: as the wasmparser processor)")
	profile := fs.String("cpuprofile", "", "write a CPU profile to this file")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() == 0 && len(o.plugins.paths) == 0 {
		fs.Usage()
		return flag.ErrHelp
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return fmt.Errorf("create profile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("start profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	p, err := newPlayer(o, stdout, stderr)
	if err != nil {
		return err
	}
	for _, path := range fs.Args() {
		if e := p.play(path); e != nil {
			// What could be read has been: the rest of the files still may.
			err = errors.Join(err, e)
		}
	}
	if e := p.flush(); e != nil {
		err = errors.Join(err, e)
	}
	if p.plugins != nil {
		err = errors.Join(err, p.plugins.end(stderr))
	}
	for _, w := range p.warn {
		fmt.Fprintln(stderr, "hopscope-replay:", w)
	}
	if o.stats {
		p.printStats(stderr)
	}
	return err
}

// split is the list in s, without blanks.
func split(s string) (list []string) {
	for _, v := range strings.Split(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}
