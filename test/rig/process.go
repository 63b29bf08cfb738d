// Package rig runs real programs for the end-to-end tests and the bench: nginx,
// Redis, load generators, the collector. Everything listens on loopback, on ports
// that were free a moment ago, keeps its files in a folder of the caller, and is
// ended by its process id.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a program may take to end after SIGTERM before it is
// killed; the collector flushes its queues in that time.
const stopGrace = 15 * time.Second

// maxLog is how much of a program's output is kept: enough for an error, and a
// debug exporter cannot fill the memory.
const maxLog = 64 << 20

// Process is a running program and what it printed.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  Log
	done chan struct{}
	err  error
}

// Start runs a program. Its output goes to the process's Log.
func Start(name string, args ...string) (*Process, error) {
	return StartIn("", nil, name, args...)
}

// StartIn is Start in a folder, with env in addition to this process's own.
func StartIn(dir string, env []string, name string, args ...string) (*Process, error) {
	path, err := Look(name)
	if err != nil {
		return nil, err
	}
	p := &Process{Name: filepath.Base(name), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	// A child that outlives the program holds its output open; do not wait for it.
	p.cmd.WaitDelay = time.Second
	// Should the test be killed, its programs go with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the program printed.
func (p *Process) Log() *Log { return &p.log }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Err is how the program ended; only after Ended.
func (p *Process) Err() error { return p.err }

// Stop asks the program to end, waits, and kills it if it does not. It may be
// called twice.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopGrace):
	}
	p.Kill()
	return fmt.Errorf("%s did not end within %v of SIGTERM", p.Name, stopGrace)
}

// Kill ends the program as kill -9 does and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Look finds a program; /usr/sbin is not in everybody's PATH.
func Look(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// Log collects a program's output. Past maxLog the rest is dropped.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := maxLog - l.buf.Len(); room > 0 {
		l.buf.Write(b[:min(len(b), room)])
	}
	return len(b), nil
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Tail is the last n bytes, for error messages.
func (l *Log) Tail(n int) string {
	s := l.String()
	return s[max(0, len(s)-n):]
}

// Until asks again and again until ok gives nil, for at most d, and then gives
// ok's last error. It ends early when the program has ended.
func (p *Process) Until(d time.Duration, ok func() error) error {
	return until(d, p.done, ok, func(err error) error {
		return fmt.Errorf("%s ended: %v: %w\n%s", p.Name, p.err, err, p.log.Tail(4000))
	})
}

// Until asks again and again until ok gives nil, for at most d, and then gives
// ok's last error.
func Until(d time.Duration, ok func() error) error {
	return until(d, nil, ok, nil)
}

func until(d time.Duration, ended <-chan struct{}, ok func() error, over func(error) error) error {
	deadline := time.After(d)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return over(err)
		case <-deadline:
			return fmt.Errorf("not within %v: %w", d, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Port gives a TCP port of loopback that is free now.
func Port() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Listens tells whether something accepts connections on a port of loopback.
func Listens(port int) error {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// Get fetches a URL's body; any status but 200 is an error.
func Get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true // or a server waits for our idle connection when it stops
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", url, resp.Status, bytes.TrimSpace(b.Bytes()))
	}
	return b.Bytes(), nil
}

// ErrMissing says that a program this machine lacks is needed.
var ErrMissing = errors.New("not installed")

// Missing names the first of the programs that is not installed.
func Missing(programs ...string) error {
	for _, name := range programs {
		if _, err := Look(name); err != nil {
			return fmt.Errorf("%s: %w", name, ErrMissing)
		}
	}
	return nil
}
