package protocols

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// serve starts a server on a free port, which its arguments are made of, and ends
// it with the test.
func serve(t *testing.T, name string, args func(port int) []string) *rig.Server {
	t.Helper()
	port := freePort(t)
	s, err := rig.Serve(port, name, args(port)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// file writes one into the folder of the test.
func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// peerServer starts one of the servers in peers, and gives its port.
func peerServer(t *testing.T, name string) int {
	t.Helper()
	return port(t, program(t), name)
}

// port starts a program that prints its address and ends when its input does, and
// gives its port.
func port(t *testing.T, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command(name, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	_, text, err := net.SplitHostPort(line[:len(line)-1])
	port, nerr := strconv.Atoi(text)
	if err != nil || nerr != nil {
		t.Fatalf("%s says %q", name, line)
	}
	return port
}

// postgres starts a PostgreSQL, which refuses to run as root, with TLS offered.
func postgres(t *testing.T) *rig.Server {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Skip("no PostgreSQL server (Debian: postgresql)")
	}
	bin := bins[len(bins)-1]
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Skip(err)
	}
	// Not t.TempDir, whose parents are closed to others.
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	as := []string{"--reuid=" + who.Uid, "--regid=" + who.Gid, "--clear-groups"}
	cmd := exec.Command("setpriv", append(as, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "postgres", "--no-sync")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	certificate(t, dir, uid, gid)
	return serve(t, "setpriv", func(port int) []string {
		return append(as, filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", fmt.Sprint(port), "-k", dir, "-h", "127.0.0.1",
			"-c", "fsync=off", "-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(dir, "cert.pem"), "-c", "ssl_key_file="+filepath.Join(dir, "key.pem"))
	})
}

// rabbitmq starts a RabbitMQ, and the port mapper that Erlang wants.
func rabbitmq(t *testing.T) *rig.Server {
	t.Helper()
	dir := t.TempDir()
	epmd := serve(t, "epmd", func(port int) []string { return []string{"-port", fmt.Sprint(port), "-address", "127.0.0.1"} })
	port := freePort(t)
	env := []string{
		"HOME=" + dir, fmt.Sprintf("ERL_EPMD_PORT=%d", epmd.Port), fmt.Sprintf("RABBITMQ_NODENAME=test%d@localhost", port),
		fmt.Sprintf("RABBITMQ_NODE_PORT=%d", port), "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", fmt.Sprintf("RABBITMQ_DIST_PORT=%d", freePort(t)),
		"RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-", "RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + file(t, dir, "plugins", "[]."), "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
	}
	p, err := rig.StartIn(dir, env, "/usr/lib/rabbitmq/bin/rabbitmq-server")
	if err != nil {
		t.Fatal(err)
	}
	s := &rig.Server{Process: p, Port: port}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Until(60*time.Second, func() error { return rig.Listens(port) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// zookeeper starts a ZooKeeper of Debian's, which needs Java.
func zookeeper(t *testing.T) *rig.Server {
	t.Helper()
	dir := t.TempDir()
	return serve(t, "java", func(port int) []string {
		return []string{"-Xmx128m", "-Dzookeeper.admin.enableServer=false", "-cp", zookeeperJar, "org.apache.zookeeper.server.ZooKeeperServerMain", fmt.Sprint(port), dir}
	})
}

const zookeeperJar = "/usr/share/java/zookeeper.jar"
