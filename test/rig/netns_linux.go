package rig

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netns"
)

// NetNS is a network namespace by name, as `ip netns` has it; "" is our own.
type NetNS string

// Path is where the namespace is mounted.
func (n NetNS) Path() string { return "/run/netns/" + string(n) }

// Start is rig.StartIn in the namespace. Only the network is another one: `ip
// netns exec` would change what is mounted too.
func (n NetNS) Start(dir string, env []string, name string, args ...string) (*Process, error) {
	if n == "" {
		return StartIn(dir, env, name, args...)
	}
	path, err := Look(name)
	if err != nil {
		return nil, err
	}
	p, err := StartIn(dir, env, "nsenter", append([]string{"--net=" + n.Path(), "--", path}, args...)...)
	if err == nil {
		p.Name = name
	}
	return p, err
}

// Serve is Start for a server, and waits until it listens on addr.
func (n NetNS) Serve(addr, dir string, env []string, name string, args ...string) (*Server, error) {
	p, err := n.Start(dir, env, name, args...)
	if err != nil {
		return nil, err
	}
	err = p.Until(startTime, func() error {
		c, err := n.Dial(context.Background(), "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s at %s in %s: %w", name, addr, n, err)
	}
	return &Server{Process: p}, nil
}

// Dial connects to an address (no name) from within the namespace.
func (n NetNS) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if n == "" {
		return d.DialContext(ctx, network, addr)
	}
	// A socket is made in the namespace of the thread, and stays there.
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer own.Close()
	other, err := netns.GetFromName(string(n))
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer other.Close()
	if err := netns.Set(other); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	c, err := d.DialContext(ctx, network, addr)
	// A thread that cannot go back is not used again: it stays locked, and ends
	// with its goroutine.
	if netns.Set(own) == nil {
		runtime.UnlockOSThread()
	}
	return c, err
}

// Client is an HTTP client in the namespace, with up to idle connections kept.
func (n NetNS) Client(idle int) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: n.Dial, MaxIdleConnsPerHost: idle, DisableKeepAlives: idle == 0}}
}

// Run runs a command, words separated by blanks, and says what it said if it
// failed.
func Run(line string) error {
	w := strings.Fields(line)
	path, err := Look(w[0])
	if err != nil {
		return err
	}
	if out, err := exec.Command(path, w[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Run is rig.Run in the namespace.
func (n NetNS) Run(line string) error { return Run("nsenter --net=" + n.Path() + " -- " + line) }
