package kernel

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// eachProg tells what the kernel has counted of every socket that we know.
const eachProg = "hs_each_sock"

// lostProg tells what was lost on every socket that has not said so yet.
const lostProg = "hs_each_lost"

// iterate attaches a program that goes through all sockets that we know, to *to.
// It runs when it is asked, and costs nothing else. Kernels before 5.9 and the
// rows on system calls have none: connections are told about when they speak or
// end.
func (c *Capture) iterate(spec *ebpf.CollectionSpec, prog, blind string, to **link.Iter) Hook {
	h := Hook{Prog: prog, At: "iter/bpf_sk_storage_map", For: blind}
	p, err := c.one(spec, prog)
	if err == nil {
		c.progs = append(c.progs, p)
		*to, err = link.AttachIter(link.IterOptions{Program: p, Map: c.maps["hs_socks"]})
	}
	if err != nil {
		h.Err = plain(err).Error()
		return h
	}
	h.Attached = true
	return h
}

// Count has the kernel tell what it has counted of every connection by now:
// records of event.KindTCP. Without a program for it, it does nothing.
func (c *Capture) Count() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return runIter(c.each, eachProg)
}

// runIter runs the program of l once. Without one it does nothing.
func runIter(l *link.Iter, prog string) error {
	if l == nil {
		return nil
	}
	r, err := l.Open()
	if err != nil {
		return fmt.Errorf("kernel: run %s: %w", prog, err)
	}
	_, err = io.Copy(io.Discard, r)
	if err != nil {
		err = fmt.Errorf("kernel: run %s: %w", prog, err)
	}
	return errors.Join(err, r.Close())
}
