package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7/protocols"
)

var (
	liveRow  = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|([^|]*)\\|[^|]*\\|([^|]*)\\|[^|]*\\|$")
	testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// TestLiveDoc: docs/protocols/live.md says of every protocol which real servers
// its reading was verified against, by tests that there are, or that none is to
// be had.
func TestLiveDoc(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/protocols/live.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, pattern := range []string{"test/protocols/*_test.go", "test/e2e/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testName.FindAllSubmatch(b, -1) {
				tests[string(m[1])] = true
			}
		}
	}
	rows := map[string]bool{}
	for _, m := range liveRow.FindAllStringSubmatch(string(b), -1) {
		rows[m[1]] = true
		none := strings.HasPrefix(strings.TrimSpace(m[2]), "none to be had")
		named := strings.TrimSpace(m[3])
		if none == (named != "") {
			t.Errorf("%s: either no server is to be had, or tests are named", m[1])
		}
		for name := range strings.SplitSeq(named, ", ") {
			if name != "" && !tests[name] {
				t.Errorf("%s: there is no %s", m[1], name)
			}
		}
	}
	for _, p := range protocols.All() {
		if !rows[p.Name] && !rows[p.Folder] {
			t.Errorf("docs/protocols/live.md has no row for %s", p.Name)
		}
		delete(rows, p.Name)
	}
	delete(rows, "http2")
	for name := range rows {
		t.Errorf("docs/protocols/live.md: there is no protocol %s", name)
	}
}
