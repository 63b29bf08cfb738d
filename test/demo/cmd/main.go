// Command demo is `make demo`: it runs a small system without tracing code,
// sends it some requests, and draws the traces.
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
	if err := rig.Missing(demo.Needs...); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hopscope-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("nginx -> Python -> name server, MariaDB, Redis; none of them has a line of tracing code")
	s, err := demo.Gateway(dir, "test/demo")
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
