package rig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// NodeModules is the node_modules folder of what the package-lock.json in dir
// names. It is fetched once, into the user's cache, in at most limit.
func NodeModules(ctx context.Context, dir string, limit time.Duration) (string, error) {
	if err := Missing("node", "npm"); err != nil {
		return "", err
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	home := filepath.Join(cache, "hopscope", "npm-"+hex.EncodeToString(sum[:8]))
	modules := filepath.Join(home, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return "", err
	}
	// Beside the place where it goes: tests of several packages run at once, and
	// half of a folder must not be taken for all of it.
	tmp, err := os.MkdirTemp(filepath.Dir(home), "npm-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	manifest, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", err
	}
	for name, b := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(tmp, name), b, 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir, cmd.WaitDelay = tmp, time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm cannot fetch what %s names: %w\n%s", dir, err, out)
	}
	if err := os.Rename(tmp, home); err != nil {
		if _, there := os.Stat(modules); there != nil { // another test was not first either
			return "", err
		}
	}
	return modules, nil
}
