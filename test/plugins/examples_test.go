package plugins

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestPayloadStays: payload is made only on request, and in no example does a
// pipeline that has it end without wasmparser, which takes it away.
func TestPayloadStays(t *testing.T) {
	type pipe struct{ Receivers, Processors, Exporters []string }
	type config struct {
		Receivers  map[string]map[string]any
		Processors map[string]map[string]any
		Service    struct{ Pipelines map[string]pipe }
	}
	files, err := filepath.Glob("../../examples/*/config.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	exporting, with := 0, 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c config
		if err := yaml.Unmarshal(b, &c); err != nil {
			t.Fatal(file, err)
		}
		for name, p := range c.Service.Pipelines {
			if len(p.Exporters) > 0 {
				exporting++
			}
			if !strings.HasPrefix(name, "traces") || !payload(c.Receivers, p.Receivers) {
				continue
			}
			with++
			i := slices.IndexFunc(p.Processors, func(s string) bool { return strings.Split(s, "/")[0] == "wasmparser" })
			if i < 0 {
				t.Errorf("%s: pipeline %s has payload and no wasmparser", file, name)
			} else if c.Processors[p.Processors[i]]["keep_payload"] == true {
				t.Errorf("%s: pipeline %s keeps payload", file, name)
			}
		}
	}
	if exporting < 6 || with == 0 {
		t.Errorf("%d pipelines that export, %d with payload: this test checked nothing", exporting, with)
	}
}

// payload tells whether one of the receivers makes payload attributes.
func payload(all map[string]map[string]any, used []string) bool {
	for _, r := range used {
		if strings.Split(r, "/")[0] != "ebpf" {
			continue
		}
		if _, ok := all[r]["payload"]; ok {
			return true
		}
		if _, ok := all[r]["unparsed"]; ok {
			return true
		}
	}
	return false
}
