package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// TestStandalone follows the README: the standalone example runs, curl asks nginx
// for a page, and within two seconds the terminal shows both ends of it.
func TestStandalone(t *testing.T) {
	bin := binary(t)
	asRoot(t)
	installed(t, "nginx", "curl")
	nginx, err := rig.Nginx(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	example, err := os.ReadFile(filepath.Join(root, "examples", "standalone", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := rig.StartCollector(bin, t.TempDir(), string(example))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()

	// A path of this moment, so that nobody else's request is taken for ours.
	path := fmt.Sprintf("/missing/%d", time.Now().UnixNano())
	if out, err := exec.Command("curl", "-s", nginx.URL(path)).CombinedOutput(); err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	var both map[string]printed
	err = c.Until(2*time.Second, func() error {
		both = map[string]printed{}
		for _, p := range printedSpans(c.Log().String()) {
			if p.attr["url.path"] == path {
				both[p.kind] = p
			}
		}
		if len(both) != 2 {
			return fmt.Errorf("%d of 2 spans", len(both))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Log().Tail(8000))
	}
	client, server := both["Client"], both["Server"]
	for name, want := range map[string][2]string{
		"service.name":              {"curl", "nginx"},
		"hopscope.capture.point":    {"c-p", "s-p"},
		"http.request.method":       {"GET", "GET"},
		"http.response.status_code": {"404", "404"},
		"server.port":               {fmt.Sprint(nginx.Port), fmt.Sprint(nginx.Port)},
	} {
		if client.attr[name] != want[0] || server.attr[name] != want[1] {
			t.Errorf("%s: client %q, server %q; want %q", name, client.attr[name], server.attr[name], want)
		}
	}
	xid := client.attr["hopscope.exchange.xid"]
	if xid == "" || xid != server.attr["hopscope.exchange.xid"] {
		t.Errorf("hopscope.exchange.xid: client %q, server %q", xid, server.attr["hopscope.exchange.xid"])
	}
	for _, p := range both {
		if p.attr["process.pid"] == "" {
			t.Errorf("%s: no process.pid", p.kind)
		}
	}
	// 404 is the client's error, not the server's.
	if client.status != "Error" || server.status != "Unset" {
		t.Errorf("status: client %s, server %s", client.status, server.status)
	}
}

// TestTrace is the picture in the README: a request through a proxy is one trace of
// four spans, each the child of the one that caused it, without any header.
func TestTrace(t *testing.T) {
	bin := binary(t)
	asRoot(t)
	installed(t, "nginx", "curl")
	nginx, err := rig.Nginx(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	example, err := os.ReadFile(filepath.Join(root, "examples", "standalone", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := rig.StartCollector(bin, t.TempDir(), onPort(string(example), nginx.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()

	path := fmt.Sprintf("/orders/%d", time.Now().UnixNano())
	if out, err := exec.Command("curl", "-s", nginx.URL("/proxied"+path)).CombinedOutput(); err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	want := []struct{ service, kind, path string }{
		{"curl", "Client", "/proxied" + path},
		{"nginx", "Server", "/proxied" + path},
		{"nginx", "Client", path},
		{"nginx", "Server", path},
	}
	err = c.Until(5*time.Second, func() error {
		all := printedSpans(c.Log().String())
		parent, trace := "", ""
		for i, w := range want {
			k := slices.IndexFunc(all, func(p printed) bool {
				return p.attr["service.name"] == w.service && p.kind == w.kind && p.attr["url.path"] == w.path
			})
			if k < 0 {
				return fmt.Errorf("no span of %v", w)
			}
			if p := all[k]; p.parent != parent || (i > 0 && p.trace != trace) || p.attr["hopscope.incomplete"] != "" {
				return fmt.Errorf("span of %v: trace %s, parent %q, incomplete %q; want trace %s, parent %q",
					w, p.trace, p.parent, p.attr["hopscope.incomplete"], trace, parent)
			}
			parent, trace = all[k].id, all[k].trace
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v\n%s", err, c.Log().Tail(20000))
	}
}

// printed is a span as the debug exporter prints it in detail.
type printed struct {
	kind, status      string
	trace, parent, id string
	attr              map[string]string // the resource's too
}

var (
	printedResource = regexp.MustCompile(`(^|\t)ResourceSpans #`)
	printedSpan     = regexp.MustCompile(`^Span #`)
	printedKind     = regexp.MustCompile(`^ +Kind +: (\w+)`)
	printedTrace    = regexp.MustCompile(`^ +Trace ID +: (\w*)`)
	printedParent   = regexp.MustCompile(`^ +Parent ID +: (\w*)`)
	printedID       = regexp.MustCompile(`^ +ID +: (\w*)`)
	printedStatus   = regexp.MustCompile(`^ +Status code +: (\w+)`)
	printedAttr     = regexp.MustCompile(`^ +-> ([^:]+): \w+\((.*)\)$`)
)

func printedSpans(log string) []printed {
	var out []printed
	var resource map[string]string
	var at *printed
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case printedResource.MatchString(line):
			resource, at = map[string]string{}, nil
		case printedSpan.MatchString(line):
			attr := map[string]string{}
			for k, v := range resource {
				attr[k] = v
			}
			out = append(out, printed{attr: attr})
			at = &out[len(out)-1]
		default:
			if at != nil {
				for re, field := range map[*regexp.Regexp]*string{
					printedKind: &at.kind, printedStatus: &at.status,
					printedTrace: &at.trace, printedParent: &at.parent, printedID: &at.id,
				} {
					if m := re.FindStringSubmatch(line); m != nil {
						*field = m[1]
					}
				}
			}
			if m := printedAttr.FindStringSubmatch(line); m != nil {
				if at != nil {
					at.attr[m[1]] = m[2]
				} else if resource != nil {
					resource[m[1]] = m[2]
				}
			}
		}
	}
	return out
}
