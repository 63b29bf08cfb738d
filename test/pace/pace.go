// Package pace sends HTTP requests at a fixed rate over connections that stay
// open, and tells how long each took. wrk and redis-benchmark only know "as fast
// as possible"; what tracing adds to a server that is not saturated needs a rate.
package pace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Load is what to send.
type Load struct {
	Addr  string // host:port
	Path  string
	Conns int
	Rate  float64 // requests per second, all connections together
	// Timeout is how long one answer may take.
	Timeout time.Duration
}

// Result is what came of it.
type Result struct {
	Sent, OK uint64
	Failures []error // at most one per connection: a connection ends with its first
	Took     time.Duration
	// Late counts requests that were sent more than a millisecond after their
	// time: the generator, or the machine, could not keep the pace.
	Late uint64
	// LocalPorts are the connections' client ports.
	LocalPorts []int
	latency    []time.Duration // sorted
}

// Quantile is the latency, from sending to the answer's last byte, that the
// share q of all requests did not exceed.
func (r *Result) Quantile(q float64) time.Duration {
	if len(r.latency) == 0 {
		return 0
	}
	return r.latency[min(int(q*float64(len(r.latency))), len(r.latency)-1)]
}

// Run sends until ctx ends, waits for the last answers, and reports.
func Run(ctx context.Context, load Load) (*Result, error) {
	if load.Conns <= 0 || load.Rate <= 0 {
		return nil, fmt.Errorf("pace: %d connections, %v requests/s: both must be positive", load.Conns, load.Rate)
	}
	if load.Timeout <= 0 {
		load.Timeout = 10 * time.Second
	}
	senders := make([]*sender, load.Conns)
	for i := range senders {
		c, err := net.Dial("tcp", load.Addr)
		if err != nil {
			for _, s := range senders[:i] {
				s.conn.Close()
			}
			return nil, fmt.Errorf("pace: %w", err)
		}
		senders[i] = &sender{
			load: load, conn: c, r: bufio.NewReader(c),
			request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", load.Path, load.Addr),
		}
	}

	start := time.Now()
	// Each connection sends in the same rhythm; together they are evenly spread.
	beat := time.Duration(float64(load.Conns) / load.Rate * float64(time.Second))
	var wg sync.WaitGroup
	for i, s := range senders {
		wg.Go(func() {
			defer s.conn.Close()
			s.run(ctx, start.Add(beat*time.Duration(i)/time.Duration(load.Conns)), beat)
		})
	}
	wg.Wait()

	r := &Result{Took: time.Since(start)}
	for _, s := range senders {
		r.Sent += s.sent
		r.OK += uint64(len(s.latency))
		r.Late += s.late
		r.latency = append(r.latency, s.latency...)
		r.LocalPorts = append(r.LocalPorts, s.conn.LocalAddr().(*net.TCPAddr).Port)
		if s.err != nil {
			r.Failures = append(r.Failures, s.err)
		}
	}
	slices.Sort(r.latency)
	return r, nil
}

// sender is one connection.
type sender struct {
	load       Load
	conn       net.Conn
	r          *bufio.Reader
	request    []byte
	sent, late uint64
	latency    []time.Duration
	err        error
}

func (s *sender) run(ctx context.Context, next time.Time, beat time.Duration) {
	for ; ; next = next.Add(beat) {
		if wait := time.Until(next); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		} else if ctx.Err() != nil {
			return
		}
		begin := time.Now()
		if begin.Sub(next) > time.Millisecond {
			s.late++
		}
		s.sent++
		if err := s.exchange(begin); err != nil {
			s.err = fmt.Errorf("request %d of %s: %w", s.sent, s.conn.LocalAddr(), err)
			return
		}
		s.latency = append(s.latency, time.Since(begin))
	}
}

func (s *sender) exchange(begin time.Time) error {
	if err := s.conn.SetDeadline(begin.Add(s.load.Timeout)); err != nil {
		return err
	}
	if _, err := s.conn.Write(s.request); err != nil {
		return err
	}
	return readAnswer(s.r)
}

var (
	errNoLength = errors.New("an answer without Content-Length")
	errStatus   = errors.New("an answer without HTTP/1.1 and a status")
)

// readAnswer reads one answer that has a Content-Length and drops its body.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return errStatus
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errNoLength
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err
}
