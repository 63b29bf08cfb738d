package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// TestTelemetry: the collector's own metrics answer, and say of the receiver what
// docs/running.md tells people to look at.
func TestTelemetry(t *testing.T) {
	bin := binary(t)
	asRoot(t)
	installed(t, "nginx")
	nginx, err := rig.Nginx(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	c, err := rig.StartCollector(bin, t.TempDir(), fmt.Sprintf(toFile, nginx.Port, filepath.Join(t.TempDir(), "spans.json")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	// Metrics by protocol are there once one was seen.
	if _, err := rig.Get(t.Context(), nginx.URL("/")); err != nil {
		t.Fatal(err)
	}
	var b []byte
	err = c.Until(10*time.Second, func() error {
		n, err := c.Sum("otelcol_receiver_ebpf_emitted")
		if err == nil && n < 2 {
			err = fmt.Errorf("%v spans emitted", n)
		}
		if err == nil {
			b, err = rig.Get(t.Context(), c.Metrics)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "running.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, field := range strings.FieldsFunc(string(doc), func(r rune) bool { return r == '`' || r == '{' }) {
		if !strings.HasPrefix(field, "otelcol_") {
			continue
		}
		told++
		if !strings.Contains(string(b), "\n"+field+"{") && !strings.Contains(string(b), "# TYPE "+field+" ") {
			t.Errorf("docs/running.md names %s, which is not among the metrics", field)
		}
	}
	if told < 5 {
		t.Errorf("docs/running.md names %d metrics: this test checked too little", told)
	}
	attached, err := c.Sum("otelcol_receiver_ebpf_hook_attached")
	if err != nil || attached < 4 {
		t.Errorf("%v hooks attached, %v", attached, err)
	}
}
