package who

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const id64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// proc is a /proc made for a test.
type proc struct {
	t   *testing.T
	dir string
}

func newProc(t *testing.T) proc { return proc{t, t.TempDir()} }

// add writes the files of a process. exe is the link's target.
func (p proc) add(pid int, start int, comm, exe string, files map[string]string) {
	p.t.Helper()
	stat := strconv.Itoa(pid) + " (" + comm + ") S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 " + strconv.Itoa(start) + " 1000 1\n"
	p.write(pid, "stat", stat)
	for name, text := range files {
		p.write(pid, name, text)
	}
	if exe != "" {
		link := filepath.Join(p.dir, strconv.Itoa(pid), "exe")
		os.Remove(link)
		if err := os.Symlink(exe, link); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p proc) write(pid int, name, text string) {
	f := filepath.Join(p.dir, strconv.Itoa(pid), name)
	if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func TestService(t *testing.T) {
	const k8s = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod11112222_3333_4444_5555_666677778888.slice/cri-containerd-" + id64 + ".scope\n"
	for _, c := range []struct {
		name, exe            string
		files                map[string]string
		service, source      string
		container, pod, host string
	}{
		{"executable", "/usr/sbin/nginx (deleted)", nil, "nginx", "executable", "", "", ""},
		{"no executable to read", "", nil, "a) (b", "executable", "", "", ""},
		{"environment", "/usr/bin/java", map[string]string{"environ": "A=1\x00OTEL_SERVICE_NAME=shop\x00OTEL_RESOURCE_ATTRIBUTES=service.name=no,deployment.environment.name=a%20b\x00"}, "shop", "env", "", "", ""},
		{"resource attributes", "/usr/bin/java", map[string]string{"environ": "OTEL_RESOURCE_ATTRIBUTES=service.name=cart,x=y"}, "cart", "env", "", "", ""},
		{"systemd", "/usr/sbin/nginx", map[string]string{"cgroup": "0::/system.slice/web.service\n"}, "web", "systemd", "", "", ""},
		{"systemd of a user", "/usr/bin/app", map[string]string{"cgroup": "0::/user.slice/user-1000.slice/user@1000.service/app.slice/my.service\n"}, "my", "systemd", "", "", ""},
		{"a user's manager", "/usr/bin/app", map[string]string{"cgroup": "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n"}, "app", "executable", "", "", ""},
		{"systemd, version 1", "/usr/sbin/x", map[string]string{"cgroup": "12:pids:/system.slice/web.service\n1:name=systemd:/system.slice/web.service\n0::/\n"}, "web", "systemd", "", "", ""},
		{"container without a name", "/app/server", map[string]string{"cgroup": "0::/system.slice/docker-" + id64 + ".scope\n"}, "server", "executable", id64, "", ""},
		{"container of docker", "/app/server", map[string]string{"cgroup": "5:cpu:/docker/" + id64 + "\n", "/1/root/var/lib/docker/containers/" + id64 + "/config.v2.json": `{"Name":"/web-1"}`}, "web-1", "container", id64, "", ""},
		{"deployment", "/app/server", map[string]string{"cgroup": k8s, "root/etc/hostname": "cart-6b8f9cdd7-x2k4m\n", "root/var/run/secrets/kubernetes.io/serviceaccount/namespace": "prod"}, "cart", "k8s", id64, "11112222-3333-4444-5555-666677778888", "cart-6b8f9cdd7-x2k4m"},
		{"environment before kubernetes", "/app/server", map[string]string{"cgroup": k8s, "root/etc/hostname": "cart-6b8f9cdd7-x2k4m\n", "environ": "OTEL_SERVICE_NAME=basket"}, "basket", "env", id64, "11112222-3333-4444-5555-666677778888", "cart-6b8f9cdd7-x2k4m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProc(t)
			files := map[string]string{}
			for f, text := range c.files {
				if rest, ok := strings.CutPrefix(f, "/1/"); ok {
					p.write(1, rest, text)
				} else {
					files[f] = text
				}
			}
			p.add(42, 777, "a) (b", c.exe, files)
			got := NewTable(Config{Proc: p.dir, Host: Host{ID: "h"}}).Process(42)
			if got == nil {
				t.Fatal("not found")
			}
			if got.Service != c.service || got.Source != c.source || got.Container != c.container || got.PodUID != c.pod || got.Pod != c.host || got.Start != 777 || got.Command != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOwner(t *testing.T) {
	for pod, want := range map[string]string{
		"cart-6b8f9cdd7-x2k4m": "cart", "node-agent-x2k4m": "node-agent", "redis-0": "redis", "db-main-12": "db-main", "backup-28394021-zx8sd": "backup-28394021", "plain": "plain",
	} {
		if got := owner(pod); got != want {
			t.Errorf("owner of %s: %s, want %s", pod, got, want)
		}
	}
}

// TestReuse: a process stays known after it is gone, until its number is
// another's.
func TestReuse(t *testing.T) {
	p := newProc(t)
	p.add(42, 1, "one", "/bin/one", nil)
	tab := NewTable(Config{Proc: p.dir})
	one := tab.Process(42)
	if err := os.RemoveAll(filepath.Join(p.dir, "42")); err != nil {
		t.Fatal(err)
	}
	tab.Recheck()
	if tab.Process(42) != one || one.Service != "one" {
		t.Fatal("a process that is gone is forgotten")
	}
	p.add(42, 2, "two", "/bin/two", nil)
	if tab.Process(42) != one {
		t.Fatal("asked again without need")
	}
	tab.Recheck()
	two := tab.Process(42)
	if two.Service != "two" || two.Instance == one.Instance {
		t.Fatalf("after Recheck: %+v", two)
	}
	p.add(42, 2, "three", "/bin/three", nil)
	tab.Began(42)
	if got := tab.Process(42); got.Service != "three" {
		t.Fatalf("after Began: %+v", got)
	}
	if tab.Process(43) != nil || tab.Process(0) != nil {
		t.Fatal("a process that is not there")
	}
	if reads, misses := tab.Counts(); reads != 4 || misses != 1 {
		t.Errorf("counts %d, %d", reads, misses)
	}
}

func TestBound(t *testing.T) {
	tab := NewTable(Config{Proc: t.TempDir(), Max: 10})
	for pid := range uint32(1000) {
		tab.Process(pid + 1)
		if n := len(tab.cur) + len(tab.old); n > 10 {
			t.Fatalf("%d processes remembered, limit 10", n)
		}
	}
}

func TestCommand(t *testing.T) {
	p := newProc(t)
	p.add(7, 1, "x", "/bin/x", map[string]string{"cmdline": "x\x00-p\x00secret\x00"})
	if got := NewTable(Config{Proc: p.dir, Command: true}).Process(7).Command; got != "x -p secret" {
		t.Errorf("command %q", got)
	}
}

func TestRuntime(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := newProc(t)
	p.add(7, 1, "x", self, nil)
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.add(8, 1, "x", text, nil)
	tab := NewTable(Config{Proc: p.dir})
	if got := tab.Process(7).Runtime; got != "go" {
		t.Errorf("this test's runtime is %q", got)
	}
	if got := tab.Process(8).Runtime; got != "" {
		t.Errorf("a script's runtime is %q", got)
	}
}

func TestHost(t *testing.T) {
	p := newProc(t)
	p.write(1, "root/etc/hostname", "node-1\n")
	p.write(1, "root/etc/machine-id", "abc\n")
	if h := ReadHost(p.dir); h != (Host{"node-1", "abc"}) {
		t.Errorf("%+v", h)
	}
}

func FuzzCgroup(f *testing.F) {
	f.Add([]byte("0::/system.slice/docker-"+id64+".scope\n"), "a=b,c=%zz")
	f.Add([]byte("::/kubepods/pod0123"), ",=,")
	f.Fuzz(func(t *testing.T, b []byte, env string) {
		c := parseCgroup(b)
		if c.container != "" && len(c.container) != 64 {
			t.Errorf("container %q", c.container)
		}
		if got := resourceAttributes(env); len(got) > 2*maxExtra+2 || len(got)%2 != 0 {
			t.Errorf("%d parts", len(got))
		}
		owner(env)
		environ(b)
	})
}
