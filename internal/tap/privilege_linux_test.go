package tap

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the user who may do nothing but open packet sockets.
func TestMain(m *testing.M) {
	if os.Getenv("TAP_ROLE") == "" {
		os.Exit(m.Run())
	}
	s, err := Open(Config{Filter: "tcp port 80", Rings: 2, RingBytes: MinRingBytes})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// CAP_NET_RAW is enough, and without it the error says what is missing.
func TestPrivilege(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: cannot become another user")
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	f, err := os.CreateTemp("", "tap-test-*") // where another user can read it
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	if _, err := io.Copy(f, self); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
	f.Close()
	try := func(caps ...uintptr) (string, error) {
		c := exec.Command(f.Name())
		c.Dir = "/"
		c.Env = []string{"TAP_ROLE=user"}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := try(unix.CAP_NET_RAW); err != nil {
		t.Errorf("with CAP_NET_RAW: %v: %s", err, out)
	}
	if out, err := try(); err == nil || out != "open packet socket: operation not permitted" {
		t.Errorf("without: %v: %q", err, out)
	}
}
