// Command completion measures what completing traces costs, next to
// groupbytrace, which only groups them, in the same run and on the same spans:
//
//	go run . [-held 10000,100000,1000000] [-seconds 20] [-settle 5s] [-rate 0] [-rounds 1] [-against OLD]
//
// It prints a table for Markdown. A row of spans held: so many are taken in
// before the first leaves, their memory is measured, and all must come out when
// their time has come; again and again for at least 50,000 spans. The row of the flow: spans come for some time, as many as
// go or at a rate, and leave after settle. CPU time is that of all of it, until
// the last span is out, in a process of its own on one core (GOMAXPROCS=1); what
// making the spans takes, measured the same way, is taken off. At last it says
// what of the spans that are still held comes out when a collector is shut down.
//
// -against measures another build of this command too, in turns with this one
// (medians of -rounds): what two runs say at different hours says little.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// subject is what is measured, by this build or by another one.
type subject struct{ name, exe, what string }

// child runs one measurement in a process of its own.
func (s subject) child(args ...string) (r result, err error) {
	c := exec.Command(s.exe, append([]string{"-what", s.what}, args...)...)
	c.Env = append(os.Environ(), "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return r, fmt.Errorf("%s %v: %w", s.name, args, err)
	}
	return r, json.Unmarshal(out, &r)
}

// held measures n spans held. How long they wait is guessed from n: where the
// first leave before the last came it is doubled.
func (s subject) held(n int) (r result, err error) {
	for wait := time.Second + time.Duration(n)*60*time.Microsecond; ; wait *= 2 {
		r, err = s.child("-n", strconv.Itoa(n), "-settle", wait.String())
		if err != nil || r.Early == 0 || wait > 10*time.Minute {
			return r, err
		}
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "completion:", err)
		os.Exit(1)
	}
}

func run() error {
	settle := flag.Duration("settle", 5*time.Second, "how long spans wait")
	seconds := flag.Int("seconds", 20, "length of a measurement of flow; 0: none")
	rate := flag.Int("rate", 0, "spans per second of the flow; 0: as many as go")
	held := flag.String("held", "10000,100000,1000000", "numbers of spans to hold; empty: none")
	rounds := flag.Int("rounds", 1, "how often each is measured; medians are told")
	against := flag.String("against", "", "another build of this command, measured in turns with it")
	what := flag.String("what", "", "of a child: measure this alone, and print JSON")
	n := flag.Int("n", 0, "of a child: hold so many spans")
	profile := flag.String("profile", "", "of a child: write a CPU profile")
	flag.Parse()
	if *what != "" {
		r, err := measure(*what, *n, *settle, time.Duration(*seconds)*time.Second, *rate, *profile)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := table{base: subject{"spans alone", self, nothing}, subjects: []subject{{ours, self, ours}, {theirs, self, theirs}}, rounds: *rounds}
	if *against != "" {
		t.subjects = slices.Insert(t.subjects, 1, subject{"before", *against, ours})
	}
	t.head()
	for _, f := range strings.FieldsFunc(*held, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return fmt.Errorf("-held: %w", err)
		}
		if _, err := t.row(f+" held", func(s subject) (result, error) { return s.held(n) }); err != nil {
			return err
		}
	}
	var flows [][]result
	if *seconds > 0 {
		many := "as many as go"
		if *rate > 0 {
			many = fmt.Sprintf("%d/s", *rate)
		}
		flows, err = t.row(fmt.Sprintf("%s for %d s, settle %v", many, *seconds, *settle), func(s subject) (result, error) {
			long := *seconds
			if s == t.base {
				long = min(long, 10) // nothing is held: it does not change
			}
			return s.child("-settle", settle.String(), "-seconds", strconv.Itoa(long), "-rate", strconv.Itoa(*rate))
		})
		if err != nil {
			return err
		}
	}
	for i, s := range t.subjects {
		for _, r := range index(flows, i) {
			fmt.Printf("\n%s, flow: %d spans in, %d out; in by fifths of the time %v, MB of memory at their ends %v", s.name, r.Spans, r.Out, r.Rates, r.Memory)
		}
	}
	fmt.Println()
	for _, s := range t.subjects {
		r, err := s.child("-n", strconv.Itoa(stopped), "-settle", "1h")
		if err != nil {
			return err
		}
		fmt.Printf("\n%s: of %d spans that waited at shutdown %d came out", s.name, r.Spans, r.Out)
	}
	fmt.Println()
	return nil
}

func index(rs [][]result, i int) []result {
	if rs == nil {
		return nil
	}
	return rs[i]
}

// stopped is how many spans are held at a shutdown.
const stopped = 10_000

// table prints what is measured.
type table struct {
	base     subject
	subjects []subject
	rounds   int
}

func (t *table) head() {
	fmt.Print("| ")
	align := "| ---"
	for _, m := range []string{"us a span", "spans/s of one core", "bytes a held span", "all came out"} {
		for _, s := range t.subjects {
			fmt.Printf("| %s, %s ", m, s.name)
			align += " | --:"
		}
	}
	fmt.Printf("| bytes of a span alone | us to make one |\n%s | --: | --: |\n", align)
}

// row measures each subject in turns, and prints medians; the results are by
// subject and round.
func (t *table) row(name string, one func(subject) (result, error)) ([][]result, error) {
	cost, bytes, out := make([][]float64, len(t.subjects)), make([][]float64, len(t.subjects)), make([]bool, len(t.subjects))
	all := make([][]result, len(t.subjects))
	var alone, making []float64
	for range t.rounds {
		base, err := one(t.base)
		if err != nil {
			return nil, err
		}
		alone, making = append(alone, base.Heap), append(making, 1e6*base.CPU/float64(base.Spans))
		for i, s := range t.subjects {
			r, err := one(s)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], r)
			cost[i] = append(cost[i], 1e6*(r.CPU/float64(r.Spans)-base.CPU/float64(base.Spans)))
			bytes[i] = append(bytes[i], r.Heap)
			out[i] = r.Out == r.Spans && (out[i] || len(all[i]) == 1)
		}
	}
	fmt.Printf("| %s ", name)
	for i := range cost {
		fmt.Printf("| %.2f ", median(cost[i]))
	}
	for i := range cost {
		fmt.Printf("| %.0f ", 1e6/median(cost[i]))
	}
	for i := range bytes {
		fmt.Printf("| %s ", number(median(bytes[i])))
	}
	for i := range out {
		fmt.Printf("| %s ", map[bool]string{true: "yes", false: fmt.Sprintf("%d of %d", all[i][0].Out, all[i][0].Spans)}[out[i]])
	}
	fmt.Printf("| %s | %.2f |\n", number(median(alone)), median(making))
	return all, nil
}

// number is v, or nothing where it was not measured.
func number(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
