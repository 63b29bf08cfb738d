package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// profiles are CPU profiles of collectors, one of each. Nil: none are wanted.
type profiles struct {
	dir   string
	files []string
}

// profiled is merged into a collector's configuration: the profile begins when it
// starts, and is written when it ends.
const profiled = `
extensions:
  pprof: {endpoint: "127.0.0.1:0", save_to_file: %q}
service: {extensions: [health_check, pprof]}
`

// config is what the next collector is told.
func (p *profiles) config() []string {
	if p == nil {
		return nil
	}
	f := filepath.Join(p.dir, fmt.Sprint(len(p.files), ".pprof"))
	p.files = append(p.files, f)
	return []string{fmt.Sprintf(profiled, f)}
}

// merge writes all of them to one file, without the names of this machine's.
func (p *profiles) merge(ctx context.Context, to string) error {
	if p == nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-proto", "-symbolize=none"}, p.files...)...).Output()
	if err != nil {
		return fmt.Errorf("merge profiles: %w", err)
	}
	return os.WriteFile(to, out, 0o644)
}
