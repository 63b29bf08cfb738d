package causality

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// pageEnv is the page whose table is made anew of what was measured
// (make causality).
const pageEnv = "HOPSCOPE_CAUSALITY_PAGE"

// concurrencies are how many requests are under way at once.
var concurrencies = []int{1, 8, 64}

// row is what was measured of one server, by concurrency.
type row struct {
	name    string
	results map[int]result
}

// table is rows as Markdown: the calls of each server, how many of them are
// linked rightly at each concurrency, and how many links are wrong at any.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| server | calls |")
	for _, c := range concurrencies {
		fmt.Fprintf(&b, " at %d |", c)
	}
	b.WriteString(" wrong links |\n| --- | --: |" + strings.Repeat(" --: |", len(concurrencies)+1) + "\n")
	for _, r := range rows {
		calls, wrong := 0, 0
		var recalls strings.Builder
		for _, c := range concurrencies {
			x := r.results[c]
			calls += x.calls
			wrong += x.wrong
			fmt.Fprintf(&recalls, " %.4f |", x.recall())
		}
		fmt.Fprintf(&b, "| %s | %d |%s %d |\n", r.name, calls, recalls.String(), wrong)
	}
	return b.String()
}

const tableBegin, tableEnd = "<!-- measured -->\n", "<!-- /measured -->"

// intoPage puts text between the marks of the page.
func intoPage(page, text string) error {
	b, err := os.ReadFile(page) //nolint:gosec // whoever runs the test names it
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(b), tableBegin)
	_, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q and %q", page, strings.TrimSpace(tableBegin), tableEnd)
	}
	return os.WriteFile(page, []byte(head+tableBegin+text+tableEnd+tail), 0o600)
}

func TestPage(t *testing.T) {
	page := t.TempDir() + "/page.md"
	if err := os.WriteFile(page, []byte("before\n"+tableBegin+"| old |\n"+tableEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := table([]row{{name: "threads", results: map[int]result{1: {calls: 4, right: 4}, 8: {calls: 4, right: 3, wrong: 1}, 64: {calls: 2, right: 1}}}})
	if err := intoPage(page, text); err != nil {
		t.Fatal(err)
	}
	want := "before\n" + tableBegin + `| server | calls | at 1 | at 8 | at 64 | wrong links |
| --- | --: | --: | --: | --: | --: |
| threads | 10 | 1.0000 | 0.7500 | 0.5000 | 1 |
` + tableEnd + "\nafter\n"
	if got, _ := os.ReadFile(page); string(got) != want { //nolint:gosec // of this test
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := intoPage(page+"none", text); err == nil {
		t.Error("a page that is not there was written to")
	}
}
