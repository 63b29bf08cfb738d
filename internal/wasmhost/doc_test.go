package wasmhost

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDoc: docs/plugin-abi.md lists the calls that there are.
func TestDoc(t *testing.T) {
	b, err := os.ReadFile("../../docs/plugin-abi.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "<!-- calls -->\n")
	got, _, _ := strings.Cut(rest, "<!-- /calls -->")
	var want strings.Builder
	for _, c := range Calls() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", c.Name, c.Params, c.Result)
	}
	if got != want.String() {
		t.Errorf("it should have\n%s", want.String())
	}
}
