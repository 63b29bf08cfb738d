// Command gotest runs `go test` with the arguments it is given and prints what
// `go test` prints, and, other than `go test`, also every skipped test with its
// reason: a test that did not run must not look like one that passed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}

	p := printer{held: map[string][]string{}}
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
	if err != nil {
		os.Exit(1)
	}
}

// printer holds back what a test prints until it is known how the test ended.
type printer struct {
	held                    map[string][]string
	passed, failed, skipped int
	skips                   []string
}

func (p *printer) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Print(line)
		return
	}
	if e.Test == "" {
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
		p.skips = append(p.skips, e.Package+" "+e.Test)
		p.print(key)
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
	for _, s := range p.skips {
		fmt.Println("  skipped:", s)
	}
}
