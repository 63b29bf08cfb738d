package protocols

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/test/rig"
)

var statusCodes = regexp.MustCompile(`status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)

// TestHTTP2: h2load against nginx, in cleartext, many streams at once.
func TestHTTP2(t *testing.T) {
	needs(t, "nginx", "h2load")
	const n = 3000
	dir := t.TempDir()
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	nginx, err := rig.Nginx(dir, 1, fmt.Sprintf("listen 127.0.0.1:%d http2;", port))
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	uris := filepath.Join(dir, "uris")
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	text := ""
	for i := range 10 {
		text += fmt.Sprintf("%s/orders/%d?user=%d\n", base, i, i)
	}
	text += base + "/missing/1\n" + base + "/broken\n"
	if err := os.WriteFile(uris, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := watch(t, port)
	out, err := exec.Command("h2load", "-n", fmt.Sprint(n), "-c", "4", "-m", "16", "-i", uris).CombinedOutput()
	if err != nil {
		t.Fatalf("h2load: %v\n%s", err, out)
	}
	m := statusCodes.FindStringSubmatch(string(out))
	if m == nil {
		t.Fatalf("h2load says\n%s", out)
	}
	num := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	count{
		"http GET /orders/{id} 200 ok":            num(1),
		"http GET /missing/{id} 404 client_error": num(3),
		"http GET /broken 503 server_error":       num(4),
		"":                                        n,
	}.check(t, c)
}

// TestUpgrade: HTTP/2 that an HTTP/1 request asks for. The answer to that request
// comes on the other protocol's first stream and is not told; all later ones are.
func TestUpgrade(t *testing.T) {
	needs(t, "nghttp")
	p := peerServer(t, "h2c-server")
	c := watch(t, p)
	const n = 50
	base := fmt.Sprintf("http://127.0.0.1:%d", p)
	answers := 0
	for range n {
		out, err := exec.CommandContext(t.Context(), "nghttp", "--upgrade", "--verbose", base+"/orders/1", base+"/orders/2", base+"/missing").CombinedOutput()
		if err != nil {
			t.Fatalf("nghttp: %v\n%s", err, out)
		}
		answers += strings.Count(string(out), ":status: ")
	}
	if answers != 3*n {
		t.Fatalf("nghttp says it had %d answers", answers)
	}
	count{
		"http GET /orders/{id} 101 ok": n,
		"http GET /orders/{id} 200 ok": n,
		"http GET /missing 404":        n,
		"":                             3 * n,
	}.check(t, c)
}
