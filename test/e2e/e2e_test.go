// Package e2e runs the built distribution as a user would, against real programs.
package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hopscope/hopscope/test/rig"
)

const root = "../.."

// binary is the built distribution; without it the test is skipped.
func binary(t *testing.T) string {
	t.Helper()
	bin, err := rig.Binary()
	if err != nil {
		t.Skip(err)
	}
	return bin
}

// asRoot skips the test, saying so, where BPF programs cannot be loaded.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: the collector could not load BPF programs")
	}
}

// installed skips the test if a program is missing.
func installed(t *testing.T, programs ...string) {
	t.Helper()
	if err := rig.Missing(programs...); err != nil {
		t.Skipf("%v (make test installs it as root on Debian)", err)
	}
}

// TestComponents: the distribution has each module of its manifest.
func TestComponents(t *testing.T) {
	bin := binary(t)
	out, err := exec.Command(bin, "components").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "builder-config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type entries []struct{ Gomod, Import string }
	var manifest struct {
		Receivers, Processors, Exporters, Connectors, Extensions entries
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, kind := range []entries{
		manifest.Receivers, manifest.Processors, manifest.Exporters, manifest.Connectors, manifest.Extensions,
	} {
		for _, e := range kind {
			n++
			// components prints the import path's module with its version.
			module, version, _ := strings.Cut(e.Gomod, " ")
			if !strings.Contains(string(out), "module: "+module+" "+version+"\n") {
				t.Errorf("components does not list %s %s", module, version)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d entries in the manifest: this test checked too little", n)
	}
	for _, e := range manifest.Receivers {
		if id, ours := strings.CutSuffix(filepath.Base(e.Import), "receiver"); ours && !strings.Contains(string(out), "- name: "+id+"\n") {
			t.Errorf("components does not list our receiver %s", id)
		}
	}
}

// TestExamples: validate accepts each example as it is.
func TestExamples(t *testing.T) {
	bin := binary(t)
	configs, err := filepath.Glob(filepath.Join(root, "examples", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(configs) < 5 {
		t.Fatalf("%d examples found", len(configs))
	}
	for _, config := range configs {
		t.Run(filepath.Base(filepath.Dir(config)), func(t *testing.T) {
			if out, err := exec.Command(bin, "validate", "--config", config).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(config), "README.md")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestValidateRefuses: what validate says names the field.
func TestValidateRefuses(t *testing.T) {
	bin := binary(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, `
receivers: {ebpf: {sockets: {mode: sometimes}}}
exporters: {nop: {}}
service: {pipelines: {traces: {receivers: [ebpf], exporters: [nop]}}}
`)
	out, err := exec.Command(bin, "validate", "--config", config).CombinedOutput()
	if err == nil {
		t.Fatal("a wrong mode is accepted")
	}
	for _, want := range []string{"receivers::ebpf", "mode", "sometimes", "auto", "off"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the error lacks %q:\n%s", want, out)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
