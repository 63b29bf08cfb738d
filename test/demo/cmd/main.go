// Command demo is `make demo`: it runs small systems without tracing code,
// sends them some requests, and draws the traces.
package main

import (
	"fmt"
	"os"

	"github.com/hopscope/hopscope/test/demo"
	"github.com/hopscope/hopscope/test/rig"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run() error {
	bin, err := rig.Binary()
	if err != nil {
		return err
	}
	for _, d := range []struct {
		what  string
		needs []string
		start func(dir, sources string) (*demo.System, error)
	}{
		{"nginx -> Python -> name server, MariaDB, Redis", demo.Needs, demo.Gateway},
		{"Go -> Python (HTTP) -> Redis; Go -> Go (gRPC) -> C (HTTP) -> Redis", demo.ShopNeeds, demo.Shop},
	} {
		if err := rig.Missing(d.needs...); err != nil {
			return err
		}
		fmt.Printf("\n%s; none of them has a line of tracing code\n", d.what)
		if err := show(bin, d.start); err != nil {
			return err
		}
	}
	return nil
}

func show(bin string, start func(dir, sources string) (*demo.System, error)) error {
	dir, err := os.MkdirTemp("", "hopscope-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(dir, "test/demo")
	if err != nil {
		return err
	}
	defer s.Stop()
	traces, err := demo.Watch(bin, dir, s, func() error {
		for _, order := range []string{"4711", "4712", "4713"} {
			if err := demo.Ask(s.Front + order); err != nil {
				return err
			}
		}
		return nil
	})
	for _, t := range traces {
		fmt.Println()
		t.Print(os.Stdout)
	}
	return err
}
