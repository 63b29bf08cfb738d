package house

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// root is the repository's root.
const root = "../.."

func TestDoors(t *testing.T) {
	packages := listed(t)
	if len(packages) < 5 {
		t.Fatalf("go list found %d packages: this test checked nothing", len(packages))
	}
	for _, complaint := range Check(rooms(), packages) {
		t.Error(complaint)
	}
}

// TestCheck breaks the rules on purpose: a check that finds nothing wrong here
// would find nothing anywhere.
func TestCheck(t *testing.T) {
	rs := []Room{
		{Path: "internal/l7"},
		{Path: "internal/l7/protocols", Doors: []string{"internal/l7", "internal/l7/*"}},
		{Path: "internal/l7/*", Doors: []string{"internal/l7"}},
		{Path: "internal/session", Doors: []string{"internal/l7"}},
		{Path: "test/**", Doors: []string{"internal/*"}},
	}
	got := Check(rs, []Package{
		{"internal/l7", nil},
		{"internal/l7/http1", []string{"internal/l7", "internal/l7/redis"}},
		{"internal/l7/protocols", []string{"internal/l7/http1"}},
		{"internal/session", []string{"internal/l7", "internal/who", "internal/l7/http1"}},
		{"internal/session/deep", nil},
		{"test/e2e", []string{"internal/session", "test/e2e/load", "cmd/x"}},
	})
	want := []string{
		"internal/l7/http1 imports internal/l7/redis: no such door",
		"internal/session imports internal/l7/http1: no such door",
		"internal/session imports internal/who: no such door",
		"internal/session/deep: no such room: give it a line in internal/house/rooms.go",
		"test/e2e imports cmd/x: no such door",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestManifests: each folder of a component of ours is in both manifests, and
// the larger manifest holds all of the smaller one at the same version.
func TestManifests(t *testing.T) {
	small, full := readManifest(t, "builder-config.yaml"), readManifest(t, "builder-config-full.yaml")
	for kind, entries := range small.kinds() {
		for _, e := range entries {
			if !slices.Contains(full.kinds()[kind], e) {
				t.Errorf("builder-config-full.yaml: %s lack %+v", kind, e)
			}
		}
	}
	for _, r := range small.Replaces {
		if !slices.Contains(full.Replaces, r) {
			t.Errorf("builder-config-full.yaml: replaces lack %q", r)
		}
	}

	found := 0
	for kind := range small.kinds() {
		folder := strings.TrimSuffix(kind, "s")
		metadata, err := filepath.Glob(filepath.Join(root, folder, "*", "factory.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range metadata {
			found++
			want := Module + "/" + folder + "/" + filepath.Base(filepath.Dir(m))
			if !slices.ContainsFunc(small.kinds()[kind], func(e entry) bool { return e.Import == want }) {
				t.Errorf("builder-config.yaml: %s lack %s", kind, want)
			}
		}
	}
	ours := 0
	for _, entries := range small.kinds() {
		for _, e := range entries {
			if e.Import == "" {
				continue
			}
			ours++
			if e.Path != "." || e.Gomod != Module+" v0.0.0" {
				t.Errorf("builder-config.yaml: %s: want gomod %q and path %q", e.Import, Module+" v0.0.0", ".")
			}
		}
	}
	if found != ours {
		t.Errorf("%d folders with a factory.go, %d of ours in the manifest", found, ours)
	}
}

type entry struct {
	Gomod, Import, Path, Name string
}

type manifest struct {
	Receivers, Processors, Exporters, Connectors, Extensions []entry
	Replaces                                                 []string
}

func (m manifest) kinds() map[string][]entry {
	return map[string][]entry{
		"receivers": m.Receivers, "processors": m.Processors, "exporters": m.Exporters,
		"connectors": m.Connectors, "extensions": m.Extensions,
	}
}

func readManifest(t *testing.T, name string) manifest {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := yaml.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(m.Receivers) == 0 || len(m.Exporters) == 0 {
		t.Fatalf("%s: no receivers or exporters: this test checked nothing", name)
	}
	return m
}

// listed asks the go command for our packages and their imports.
func listed(t *testing.T) []Package {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var out []Package
	for d := json.NewDecoder(strings.NewReader(string(b))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		pkg := Package{Path: relative(p.ImportPath)}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, Module+"/") {
				pkg.Imports = append(pkg.Imports, relative(imp))
			}
		}
		out = append(out, pkg)
	}
}

func relative(importPath string) string {
	return strings.TrimPrefix(importPath, Module+"/")
}
