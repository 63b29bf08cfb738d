package pace

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	var served atomic.Uint64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		_, _ = w.Write([]byte("hello"))
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	r, err := Run(ctx, Load{Addr: strings.TrimPrefix(srv.URL, "http://"), Path: "/", Conns: 3, Rate: 300})
	if err != nil {
		t.Fatal(err)
	}
	// Never more than the rate allows, never a request unaccounted for.
	if r.Sent != served.Load() || r.OK != r.Sent || len(r.Failures) != 0 {
		t.Errorf("sent %d, ok %d, served %d, failures %v", r.Sent, r.OK, served.Load(), r.Failures)
	}
	if limit := uint64(300*r.Took.Seconds()) + 3; r.Sent == 0 || r.Sent > limit {
		t.Errorf("sent %d in %v, the rate allows %d", r.Sent, r.Took, limit)
	}
	if len(r.LocalPorts) != 3 || r.Quantile(0.5) <= 0 || r.Quantile(0.5) > r.Quantile(1) {
		t.Errorf("ports %v, p50 %v, max %v", r.LocalPorts, r.Quantile(0.5), r.Quantile(1))
	}
}

func TestReadAnswer(t *testing.T) {
	for text, ok := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc": true,
		"HTTP/1.1 503 no\r\ncontent-length:0\r\n\r\n":     true,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab":  false,
		"HTTP/1.1 200 OK\r\n\r\n":                         false,
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n":    false,
		"nonsense\r\n\r\n":                                false,
		"":                                                false,
	} {
		if err := readAnswer(bufio.NewReader(strings.NewReader(text))); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
