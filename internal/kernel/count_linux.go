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

// counting attaches it. It runs when Count asks, and costs nothing else. Kernels
// before 5.9 and the rows on system calls have none: connections are told about
// when they end only.
func (c *Capture) counting(spec *ebpf.CollectionSpec) Hook {
	h := Hook{Prog: eachProg, At: "iter/bpf_sk_storage_map", For: "the kernel's counters of connections that go on"}
	p, err := c.one(spec, eachProg)
	if err == nil {
		c.progs = append(c.progs, p)
		c.each, err = link.AttachIter(link.IterOptions{Program: p, Map: c.maps["hs_socks"]})
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
	if c.each == nil {
		return nil
	}
	r, err := c.each.Open()
	if err != nil {
		return fmt.Errorf("kernel: run %s: %w", eachProg, err)
	}
	_, err = io.Copy(io.Discard, r)
	if err != nil {
		err = fmt.Errorf("kernel: run %s: %w", eachProg, err)
	}
	return errors.Join(err, r.Close())
}
