package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a server may take until it accepts connections.
const startTime = 15 * time.Second

// Server is a server on a port of loopback.
type Server struct {
	*Process
	Port int
}

// nginxConf answers everything out of memory, so that what is measured is the
// handling of a request, and never closes a connection by count.
const nginxConf = `
daemon off;
worker_processes %[1]d;
pid %[2]s/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 4096;
events { worker_connections 2048; }
http {
	access_log off;
	log_format status '$status';
	default_type text/plain;
	keepalive_requests 1000000000;
	keepalive_timeout 300s;
	client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fcgi;
	uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
	server {
		listen 127.0.0.1:%[3]d;
		location / { return 200 "hello from nginx\n"; }
		location /proxied/ { proxy_pass http://127.0.0.1:%[3]d/; }
		location /missing { return 404 "no such thing\n"; }
		location /broken { return 503 "broken\n"; }
		%[4]s
	}
}
`

// Nginx starts nginx with n workers; its files are in dir. More is directives for
// its server block; the log format `status` has the status code only.
func Nginx(dir string, workers int, more ...string) (*Server, error) {
	port, err := Port()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConf, workers, dir, port, strings.Join(more, "\n"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return Serve(port, "nginx", "-p", dir, "-c", conf, "-e", "stderr")
}

// Redis starts a Redis that stores nothing on disk.
func Redis(dir string) (*Server, error) {
	port, err := Port()
	if err != nil {
		return nil, err
	}
	return Serve(port, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", dir, "--daemonize", "no", "--loglevel", "warning")
}

// Serve starts a server and waits until it listens on port of loopback.
func Serve(port int, name string, args ...string) (*Server, error) {
	p, err := Start(name, args...)
	if err != nil {
		return nil, err
	}
	if err := p.Until(startTime, func() error { return Listens(port) }); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s on port %d: %w", name, port, err)
	}
	return &Server{Process: p, Port: port}, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// URL is the server's address with a path.
func (s *Server) URL(path string) string { return "http://" + s.Addr() + path }

// Kill ends the server and its children at once: nginx's outlive it.
func (s *Server) Kill() {
	pids := s.PIDs()
	s.Process.Kill()
	for _, pid := range pids[1:] {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// PIDs are the server and its children: nginx works in children.
func (s *Server) PIDs() []int {
	pids := []int{s.PID()}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	return pids
}

func children(pid int) []int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(b)) {
		var child int
		if _, err := fmt.Sscan(f, &child); err == nil {
			out = append(out, child)
		}
	}
	return out
}

// MariaDB starts a MariaDB that lets everybody in; its files are in dir. More is
// further arguments.
func MariaDB(dir string, more ...string) (*Server, error) {
	port, err := Port()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		return nil, err
	}
	return Serve(port, "mariadbd", append(MariaDBArgs(dir, port), more...)...)
}

// MariaDBArgs are those of a MariaDB that lets everybody in, on loopback, with
// its files in dir and its tables in dir/data.
func MariaDBArgs(dir string, port int) []string {
	return []string{"--no-defaults", "--user=root", "--datadir", filepath.Join(dir, "data"), "--socket", filepath.Join(dir, "socket"),
		"--pid-file", filepath.Join(dir, "pid"), "--port", fmt.Sprint(port), "--bind-address=127.0.0.1", "--skip-grant-tables", "--skip-networking=0",
		"--innodb-flush-log-at-trx-commit=0"}
}
