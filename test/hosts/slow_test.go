package hosts

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/test/demo"
)

// late is how late things are made, here, in shop.py, dns.py and the demo's
// app.py; exact is how exactly it must be found again.
const (
	late  = 200 * time.Millisecond
	exact = 5 * time.Millisecond
)

// place is one where time is lost.
type place struct {
	name  string
	cable string // or
	file  string
	path  string
	hops  []string // one of them must have added most
}

// places: where a cable is slow in one direction, what crosses it that way is
// late: the request of one exchange, the answer of another.
var places = []place{
	{name: "cable to the gateway", cable: "r1", hops: []string{"s-gw r1", "c h1"}},
	{name: "cable to the shop", cable: "r2", hops: []string{"s-gw r2", "c h2"}},
	{name: "cable to the store", cable: "r3", hops: []string{"s-gw r3"}},
	{name: "sleep in the store", file: "store", hops: []string{"s-p store"}},
	{name: "slow accept in the shop", file: "accept", path: "fresh/", hops: []string{"s h2"}},
	{name: "slow DNS answer", file: "dns", hops: []string{"s-p dns"}},
}

// TestSlowPlaces makes each of six places slow, one after the other: the hop
// that added most names it, and how much.
func TestSlowPlaces(t *testing.T) {
	s := start(t, options{gateways: 1, settle: 2 * time.Second, slow: []string{"r1", "r2", "r3"}, slowDNS: true})
	s.warmUp()
	client := s.client.Client(1)
	each := number("HOSTS_SLOW_REQUESTS", 5)
	for i, p := range places {
		for k := range each + 1 { // the first, with everything quick, opens what needs opening
			if k == 1 {
				s.slow(t, &p, true)
			}
			resp, err := client.Get(fmt.Sprintf("http://%s/%sorders/%d", front, p.path, first(i)+k))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		s.slow(t, &p, false)
	}
	traces := s.traces()
	found := 0
	for i, p := range places {
		var added []time.Duration
		named := 0
		for k := range each {
			hop, d := slowest(traces, first(i)+k+1)
			added = append(added, d)
			if slices.Contains(p.hops, hop) {
				named++
			} else {
				t.Errorf("%s: order %d says %q added %v", p.name, first(i)+k+1, hop, d)
			}
		}
		slices.Sort(added)
		median := added[len(added)/2]
		t.Logf("%-24s %d of %d name it; added %v (%v to %v)", p.name, named, each, median.Round(10*time.Microsecond),
			added[0].Round(10*time.Microsecond), added[len(added)-1].Round(10*time.Microsecond))
		if (median - late).Abs() > exact {
			t.Errorf("%s: %v, want %v within %v", p.name, median, late, exact)
		} else if named == each {
			found++
		}
	}
	t.Logf("%d of %d places", found, len(places))
}

func first(place int) int { return 10000 * (place + 1) }

// slow makes a place slow, or not.
func (s *system) slow(t *testing.T, p *place, on bool) {
	t.Helper()
	if p.cable != "" {
		d := time.Duration(0)
		if on {
			d = late
		}
		s.cables[p.cable].late[toEnd].Store(int64(d))
		return
	}
	var err error
	if on {
		err = os.WriteFile(s.slowFile(p.file), nil, 0o600)
	} else {
		err = os.Remove(s.slowFile(p.file))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// slowest is the hop that added most to a request.
func slowest(traces []*demo.Trace, k int) (hop string, most time.Duration) {
	for _, t := range traces {
		if !slices.ContainsFunc(t.Spans, func(s *demo.Span) bool { return nonce(s) == k }) {
			continue
		}
		for _, s := range t.Spans {
			n, err := strconv.ParseInt(s.Str(semconv.HopAdded), 10, 64)
			if d := time.Duration(n); err == nil && d > most {
				where := s.Str("network.interface.name")
				if where == "" {
					where = s.Str(semconv.ServiceName)
				}
				if strings.HasPrefix(s.Name(), "DNS") {
					where = "dns"
				}
				hop, most = point(s)+" "+where, d
			}
		}
	}
	return hop, most
}
