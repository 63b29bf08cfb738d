package e2e

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/receiver/ebpfreceiver"
	"github.com/hopscope/hopscope/test/tally"
)

// count counts spans of some ports, by kind and key: "Client GET 200".
func count(t *testing.T, key func(ptrace.Span) string, more func(*ebpfreceiver.Config), ports ...uint16) *tally.Tally {
	t.Helper()
	return tally.Count(t, func(s ptrace.Span) string { return s.Kind().String() + " " + key(s) }, func(c *ebpfreceiver.Config) {
		c.Sockets.Include.Ports = ports
		if more != nil {
			more(c)
		}
	})
}

// byCode is method and status code.
func byCode(s ptrace.Span) string {
	return attr(s, "http.request.method") + " " + attr(s, "http.response.status_code")
}

func attr(s ptrace.Span, k string) string { return tally.Attr(s, k) }
