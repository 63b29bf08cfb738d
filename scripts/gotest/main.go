// Command gotest runs `go test` with the arguments it is given and prints what
// `go test` prints, and, other than `go test`, at the end also what was skipped
// and why: a test that did not run must not look like one that passed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// againEnv, if set, lets packages that failed run once more, alone: tests that
// need the machine's time can fail on a busy one. A package that fails twice has
// failed; one that does not is named as unsteady.
const againEnv = "GOTEST_AGAIN"

// maxAgain is how many packages may be unsteady before it is no accident.
const maxAgain = 4

func main() {
	bad, err := run(os.Args[1:])
	if len(bad) == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if len(bad) == 0 {
		return
	}
	if os.Getenv(againEnv) == "" || len(bad) > maxAgain {
		os.Exit(1)
	}
	flags := []string{"-count=1", "-p=1"}
	for _, a := range os.Args[1:] {
		if !strings.Contains(a, "/") {
			flags = append(flags, a)
		}
	}
	for _, pkg := range bad {
		fmt.Printf("== once more, alone: %s\n", pkg)
	}
	still, err := run(append(flags, bad...))
	if len(still) > 0 || err != nil {
		fmt.Println("failed twice:", strings.Join(still, " "))
		os.Exit(1)
	}
	fmt.Println("unsteady, failed once and passed alone:", strings.Join(bad, " "))
}

// run runs go test and returns the packages that failed.
func run(args []string) (bad []string, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("gotest: %w", err)
	}

	p := printer{held: map[string][]string{}, reasons: map[string][]string{}}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.line(line)
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	p.summary()
	return p.bad, err
}

// printer holds back what a test prints until it is known how the test ended.
type printer struct {
	held                    map[string][]string
	passed, failed, skipped int
	reasons                 map[string][]string // why: which tests were skipped
	bad                     []string            // packages that failed
}

func (p *printer) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Print(line)
		return
	}
	if e.Test == "" {
		if e.Action == "fail" {
			p.bad = append(p.bad, e.Package)
		}
		if e.Action == "output" || e.Action == "build-output" {
			if e.Output != "PASS\n" && !strings.HasSuffix(e.Output, "[no test files]\n") {
				fmt.Print(e.Output)
			}
		}
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		switch {
		case strings.HasPrefix(e.Output, "=== "):
		case strings.HasPrefix(strings.TrimSpace(e.Output), "--- PASS"):
		default:
			p.held[key] = append(p.held[key], e.Output)
		}
	case "pass":
		p.passed++
		delete(p.held, key)
	case "fail":
		p.failed++
		p.print(key)
	case "skip":
		p.skipped++
		why := p.why(key)
		p.reasons[why] = append(p.reasons[why], key)
		delete(p.held, key)
	}
}

func (p *printer) print(key string) {
	fmt.Print(strings.Join(p.held[key], ""))
	delete(p.held, key)
}

func (p *printer) summary() {
	// What a crash left without an end.
	for key := range p.held {
		p.print(key)
	}
	fmt.Printf("tests: %d passed, %d failed, %d skipped\n", p.passed, p.failed, p.skipped)
	for _, why := range slices.Sorted(maps.Keys(p.reasons)) {
		tests := p.reasons[why]
		fmt.Printf("  skipped %d: %s\n", len(tests), why)
		for _, t := range tests[:min(len(tests), shown)] {
			fmt.Println("    ", t)
		}
		if more := len(tests) - shown; more > 0 {
			fmt.Println("      and", more, "more")
		}
	}
}

// shown is how many tests are named that were skipped for the same reason.
const shown = 3

// why is the reason that a skipped test gave: its last line but the verdict,
// without the place in the source.
func (p *printer) why(key string) string {
	why := "no reason given"
	for _, line := range p.held[key] {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--- SKIP") {
			why = line
		}
	}
	if _, text, ok := strings.Cut(why, ".go:"); ok {
		if _, text, ok := strings.Cut(text, ": "); ok {
			why = text
		}
	}
	return why
}
