package protocols

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// sealed is what is said of the TLS of a connection: version, name asked for,
// protocol agreed on, alert; then whether there is a certificate.
func sealed(m pcommon.Map) string {
	out := ""
	for _, k := range []string{"tls.established", "tls.protocol.version", "tls.client.server_name", "tls.next_protocol", "hopscope.tls.alert"} {
		v, ok := m.Get(k)
		if !ok {
			continue
		}
		out += " " + v.AsString()
	}
	if v, ok := m.Get("tls.server.not_after"); ok && strings.HasSuffix(v.Str(), "Z") {
		out += " dated"
	}
	if out == "" {
		return " -"
	}
	return out
}

// watchTLS is watch that counts flows as well, and everything by its TLS:
// "c-p flow true 1.3 shop.test".
func watchTLS(t *testing.T, port int) *tally.Tally {
	t.Helper()
	span := func(s ptrace.Span) string {
		return tally.Attr(s, "hopscope.capture.point") + " " + tally.Attr(s, "network.protocol.name") + " " + s.Name() + sealed(s.Attributes())
	}
	flow := func(r plog.LogRecord) string {
		point, _ := r.Attributes().Get("hopscope.capture.point")
		return point.Str() + " flow" + sealed(r.Attributes())
	}
	return tally.CountFlows(t, span, flow, watched(nil, port))
}

// TestTLS: what a handshake with nginx says is on its span and on the record of
// its connection, of sockets and of packets; so is why there was none.
func TestTLS(t *testing.T) {
	needs(t, "nginx", "openssl")
	dir := t.TempDir()
	certificate(t, dir, 0, 0)
	port := freePort(t)
	nginx, err := rig.Nginx(dir, 1, fmt.Sprintf("listen 127.0.0.1:%d ssl;", port),
		"ssl_protocols TLSv1.2 TLSv1.3;", "ssl_certificate "+dir+"/cert.pem;", "ssl_certificate_key "+dir+"/key.pem;")
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	c := watchTLS(t, port)
	const each = 5
	connect := func(fails bool, args ...string) {
		t.Helper()
		args = append([]string{"s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", port), "-servername", "shop.test", "-alpn", "http/1.1"}, args...)
		for range each {
			cmd := exec.Command("openssl", args...)
			cmd.Stdin = strings.NewReader("GET / HTTP/1.0\r\n\r\n")
			if out, err := cmd.CombinedOutput(); (err != nil) != fails {
				t.Fatalf("openssl %v: %v\n%s", args, err, out)
			}
		}
	}
	connect(false, "-tls1_3", "-quiet", "-ign_eof")
	connect(false, "-tls1_2", "-quiet", "-ign_eof")
	connect(true, "-tls1_2", "-verify_return_error") // the client trusts nobody
	connect(true, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
	want := count{}
	for text, n := range map[string]int{
		" true 1.3 shop.test":                            each, // what follows is encrypted
		" true 1.2 shop.test http/1.1 dated":             each,
		" false 1.2 shop.test http/1.1 unknown_ca dated": each,
		" false shop.test protocol_version":              each,
	} {
		want["flow"+text], want["tls TLS handshake"+text] = n, n
	}
	want["flow"] = 4 * each
	want.check(t, c)
}

// TestMySQLTLS: a session with MariaDB that turns to TLS after the greeting is a
// handshake, and nothing is made up of the rest.
func TestMySQLTLS(t *testing.T) {
	needs(t, "mariadbd", "mariadb")
	dir := t.TempDir()
	certificate(t, dir, 0, 0)
	db, err := rig.MariaDB(dir, "--ssl-cert="+dir+"/cert.pem", "--ssl-key="+dir+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Stop()
	c := watchTLS(t, db.Port)
	const each = 5
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		for range each {
			out, err := exec.Command("mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", fmt.Sprint(db.Port), "-u", "root", "--ssl",
				"--tls-version="+version, "-N", "-e", "SHOW STATUS LIKE 'Ssl_version'").CombinedOutput()
			if err != nil || !strings.Contains(string(out), version) {
				t.Fatalf("mariadb with %s: %v\n%s", version, err, out)
			}
		}
	}
	count{
		"tls TLS handshake true 1.3":       each,
		"tls TLS handshake true 1.2 dated": each,
		"tls":                              2 * each,
		"flow true 1.3":                    each,
		"flow true 1.2 dated":              each,
		"mysql":                            0,
	}.check(t, c)
}

// TestPostgreSQLTLS: where the server takes TLS, its handshake is all there is to
// see of a session, and what asked for it says what came of it.
func TestPostgreSQLTLS(t *testing.T) {
	needs(t)
	db := postgres(t)
	c := watchTLS(t, db.Port)
	said := client(t, "postgresql", fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=require", db.Addr()), 50)
	n := said["connect"]
	count{
		"tls TLS handshake true 1.3":      n,
		"postgresql SSL_REQUEST true 1.3": n,
		"flow true 1.3":                   n,
		"tls|postgresql":                  2 * n,
	}.check(t, c)
}

// TestSTARTTLS: mails in clear text are read, and behind STARTTLS nothing is made
// up: the handshake is all there is.
func TestSTARTTLS(t *testing.T) {
	needs(t)
	port := peerServer(t, "smtp-server")
	c := watchTLS(t, port)
	said := client(t, "smtp", fmt.Sprintf("127.0.0.1:%d", port), 50)
	count{
		"smtp RCPT":              said["rcpt"] + said["rcpt failed"],
		"smtp STARTTLS true 1.3": said["starttls"],
		"tls TLS handshake true": said["starttls"],
		"tls":                    said["starttls"],
		"flow true 1.3":          said["starttls"],
	}.check(t, c)
}
