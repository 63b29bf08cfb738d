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
	generated(t, "docs/protocols.md", protocolTable(t, protocols.All()))
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

// protocolTable has a row for each protocol: what its value says, and what its
// page says of versions, of what is read, of pairing and of ids. A protocol
// without a page, or a page without one of these rows or without what a
// connection may take of memory, fails.
func protocolTable(t *testing.T, list []*l7.Protocol) string {
	t.Helper()
	var rows []string
	for _, p := range list {
		var over []string
		if p.Transport&l7.TCP != 0 {
			over = append(over, "TCP")
		}
		if p.Transport&l7.UDP != 0 {
			over = append(over, "UDP")
		}
		for _, port := range p.Ports {
			over = append(over, fmt.Sprint(port))
		}
		page := first(p.Folder, p.Name)
		b, err := os.ReadFile(filepath.Join(root, "docs/protocols", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		row := fmt.Sprintf("| [`%s`](protocols/%s.md) | %s", p.Name, page, strings.Join(over, " "))
		for _, name := range []string{"versions", "read", "not read", "pairing", "ids( found)?", "memory"} {
			m := regexp.MustCompile(`(?im)^\| ` + name + ` \| (.*) \|$`).FindSubmatch(b)
			if m == nil {
				t.Fatalf("docs/protocols/%s.md has no row %q", page, name)
			}
			if name == "memory" { // of a connection; on the page only
				continue
			}
			row += " | " + pageLink.ReplaceAllString(string(m[len(m)-1]), "](protocols/$1)")
		}
		rows = append(rows, row+" |\n")
	}
	slices.Sort(rows)
	return "| name | over, usual ports | versions | what is read | what is not | pairing | ids found |\n" +
		"| --- | --- | --- | --- | --- | --- | --- |\n" + strings.Join(rows, "")
}

// pageLink is a link from one page to another.
var pageLink = regexp.MustCompile(`\]\(([a-z0-9]+\.md)\)`)

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
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
