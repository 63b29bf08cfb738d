package protocols

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// TestThrift: Apache's library at both ends, in each way it speaks. What nobody
// answers goes out as an ordinary call, as its client for Go sends it.
func TestThrift(t *testing.T) {
	needs(t)
	for _, form := range []string{"binary", "framed", "compact", "header"} {
		t.Run(form, func(t *testing.T) {
			port := peerServer(t, "thrift-"+form+"-server")
			c := watch(t, port)
			said := client(t, "thrift-"+form, fmt.Sprintf("127.0.0.1:%d", port), 200)
			count{
				"thrift twice REPLY ok":                 said["twice"],
				"thrift noted unknown":                  said["noted"],
				"thrift missing EXCEPTION server_error": said["missing failed"],
				"":                                      said["twice"] + said["noted"] + said["missing failed"],
			}.check(t, c)
		})
	}
}

// TestZMTP: a REQ and a REP socket.
func TestZMTP(t *testing.T) {
	needs(t)
	port := peerServer(t, "zmtp-server")
	c := watch(t, port)
	said := client(t, "zmtp", fmt.Sprintf("127.0.0.1:%d", port), 200)
	count{"zmtp REQUEST ok": said["request"]}.check(t, c)
}

// TestLDAP: OpenLDAP; a wrong password, people that come and go, and some that
// are not there.
func TestLDAP(t *testing.T) {
	needs(t, "slapd")
	dir := t.TempDir()
	conf := file(t, dir, "slapd.conf", fmt.Sprintf(`
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/pid
database mdb
suffix "dc=shop,dc=test"
rootdn "cn=admin,dc=shop,dc=test"
rootpw secret
directory %[1]s
`, dir))
	s := serve(t, "slapd", func(port int) []string {
		return []string{"-d", "0", "-h", fmt.Sprintf("ldap://127.0.0.1:%d/", port), "-f", conf}
	})
	c := watch(t, s.Port)
	said := client(t, "ldap", s.Addr(), 100)
	count{
		"ldap bind 0 ok":              said["bind"],
		"ldap bind 49 client_error":   said["bind failed"],
		"ldap add 0 ok":               said["add"],
		"ldap search 0 ok":            said["search"],
		"ldap search 32 client_error": said["search failed"],
		"ldap delete 0 ok":            said["delete"],
	}.check(t, c)
}

const script = `<?php
http_response_code((int)($_GET["code"] ?? 200));
echo "hello from php\n";
`

// TestFastCGI: PHP behind nginx. What nginx was answered with is what the client
// counts.
func TestFastCGI(t *testing.T) {
	needs(t, "nginx", "php-fpm8.2")
	dir := t.TempDir()
	file(t, dir, "orders.php", script)
	fpm := serve(t, "php-fpm8.2", func(port int) []string {
		conf := file(t, dir, "fpm.conf", fmt.Sprintf("[global]\nerror_log = /dev/stderr\n[www]\nuser = root\ngroup = root\nlisten = 127.0.0.1:%d\npm = static\npm.max_children = 2\n", port))
		return []string{"--nodaemonize", "--allow-to-run-as-root", "-n", "--fpm-config", conf}
	})
	nginx, err := rig.Nginx(dir, 1, fmt.Sprintf(`location ~ \.php$ { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME %s$fastcgi_script_name; fastcgi_pass 127.0.0.1:%d; }`, dir, fpm.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer nginx.Stop()
	c := watch(t, fpm.Port)
	said := map[int]int{}
	for i := range 200 {
		code := 200
		switch {
		case i%10 == 3:
			code = 404
		case i%10 == 7:
			code = 500
		}
		r, err := http.Get(fmt.Sprintf("http://%s/orders.php?code=%d", nginx.Addr(), code))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		said[r.StatusCode]++
	}
	count{
		"fastcgi GET /orders.php 200 ok":           said[200],
		"fastcgi GET /orders.php 404 client_error": said[404],
		"fastcgi GET /orders.php 500 server_error": said[500],
		"": 200,
	}.check(t, c)
}

const activeMQJar = "/usr/share/activemq/bin/activemq.jar"

// TestOpenWire: an ActiveMQ of Debian's, with its own producer and consumer, one
// of which has a wrong password.
func TestOpenWire(t *testing.T) {
	needs(t, "java")
	if _, err := os.Stat(activeMQJar); err != nil {
		t.Skipf("%v (Debian: activemq)", err)
	}
	dir := t.TempDir()
	java := func(args ...string) []string {
		return append([]string{"-Xmx128m", "-Dactivemq.home=/usr/share/activemq", "-Dactivemq.base=" + dir, "-Dactivemq.conf=" + dir, "-Dactivemq.data=" + dir, "-jar", activeMQJar}, args...)
	}
	port := freePort(t)
	conf := file(t, dir, "activemq.xml", fmt.Sprintf(`<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
 http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
 <broker xmlns="http://activemq.apache.org/schema/core" useJmx="false" brokerName="localhost" persistent="false" dataDirectory="%s" schedulerSupport="false">
  <plugins><simpleAuthenticationPlugin><users><authenticationUser username="shop" password="secret" groups="users"/></users></simpleAuthenticationPlugin></plugins>
  <transportConnectors><transportConnector name="openwire" uri="tcp://127.0.0.1:%d"/></transportConnectors>
 </broker>
</beans>`, dir, port))
	p, err := rig.StartIn(dir, nil, "java", java("start", "xbean:file:"+conf)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Log(err)
		}
	})
	if err := p.Until(60*time.Second, func() error { return rig.Listens(port) }); err != nil {
		t.Fatal(err)
	}
	c := watch(t, port)
	const n = 50
	broker := fmt.Sprintf("tcp://127.0.0.1:%d", port)
	run := func(password string, args ...string) error {
		args = append(args, "--brokerUrl", broker, "--user", "shop", "--password", password, "--destination", "queue://ORDERS", "--messageCount", fmt.Sprint(n))
		out, err := exec.CommandContext(t.Context(), "java", java(args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}
	// Each ends when it has sent or got that many.
	if err := run("secret", "producer"); err != nil {
		t.Fatal(err)
	}
	if err := run("secret", "consumer"); err != nil {
		t.Fatal(err)
	}
	if err := run("wrong", "producer"); err != nil {
		t.Log(err)
	}
	count{
		"openwire ActiveMQTextMessage ORDERS ok":                           n,
		"openwire MessageDispatch ORDERS":                                  n,
		"openwire MessageAck ORDERS":                                       n,
		"openwire ConnectionInfo ok":                                       2,
		"openwire ConnectionInfo java.lang.SecurityException server_error": 1,
	}.check(t, c)
}

// TestSOFARPC: Ant's own implementation for Node.js at both ends, Bolt on the
// wire; every tenth call throws.
func TestSOFARPC(t *testing.T) {
	needs(t, "node", "npm")
	if os.Getenv("TEST_SOFARPC") == "" {
		t.Skip("TEST_SOFARPC=1 fetches a hundred packages of npm's")
	}
	modules, err := rig.NodeModules(t.Context(), "sofarpc", 3*time.Minute)
	if err != nil {
		t.Skip(err)
	}
	p := freePort(t)
	dir := t.TempDir()
	for _, name := range []string{"server.js", "client.js"} {
		b, err := os.ReadFile(filepath.Join("sofarpc", name))
		if err != nil {
			t.Fatal(err)
		}
		file(t, dir, name, string(b))
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	s, err := rig.StartIn(dir, nil, "node", "server.js", fmt.Sprint(p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	if err := s.Until(30*time.Second, func() error { return rig.Listens(p) }); err != nil {
		t.Fatal(err)
	}
	c := watch(t, p)
	cmd := exec.CommandContext(t.Context(), "node", "client.js", fmt.Sprint(p), "100")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("client: %v\n%s", err, out)
	}
	var said count
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("the client says %v", said)
	count{
		"sofarpc test.Orders:1.0/find 0 ok":           said["find"],
		"sofarpc test.Orders:1.0/find 2 server_error": said["find failed"],
	}.check(t, c)
}
