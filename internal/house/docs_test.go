package house

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/protocols"
)

var update = flag.Bool("update", false, "write the generated parts of docs/")

// TestProtocolsDoc: the documents list the protocols that there are.
func TestProtocolsDoc(t *testing.T) {
	generated(t, "docs/protocols.md", protocolTable(protocols.All()))
	generated(t, "README.md", protocolNames(protocols.All()))
}

// generated compares what a document has between its two marks with what the code
// says, or writes it.
func generated(t *testing.T, doc, want string) {
	t.Helper()
	const begin, end = "<!-- protocols -->\n", "<!-- /protocols -->"
	name := filepath.Join(root, doc)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %q ... %q", doc, begin, end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s is out of date (go test ./internal/house -update); it should have\n%s", doc, want)
		return
	}
	if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func protocolNames(list []*l7.Protocol) string {
	var names []string
	for _, p := range list {
		names = append(names, "`"+p.Name+"`")
	}
	slices.Sort(names)
	return "Protocols: " + strings.Join(names, ", ") + ".\n"
}

func protocolTable(list []*l7.Protocol) string {
	var rows []string
	for _, p := range list {
		var transports, ports []string
		if p.Transport&l7.TCP != 0 {
			transports = append(transports, "TCP")
		}
		if p.Transport&l7.UDP != 0 {
			transports = append(transports, "UDP")
		}
		for _, port := range p.Ports {
			ports = append(ports, fmt.Sprint(port))
		}
		pairing := "in order"
		if p.Pairing == l7.ByStream {
			pairing = "by id"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", p.Name, strings.Join(transports, ", "), strings.Join(ports, ", "), pairing))
	}
	slices.Sort(rows)
	return "| name | over | usual ports | pairing |\n| --- | --- | --- | --- |\n" + strings.Join(rows, "")
}

// TestLinks: what our documents link to inside the repository is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	checked := 0
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md", "receiver/*/README.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(b), -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				checked++
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
					t.Errorf("%s links to %s: %v", file, m[1], err)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no link found: this test checked nothing")
	}
}
