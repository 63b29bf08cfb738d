//go:build linux

package kernel

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/hopscope/hopscope/internal/event"
)

// load makes the maps of a row's object, then loads its hooks one by one, so that
// each gives its own reason when it fails, and attaches them: in quick succession,
// since what one sees while another is not there yet is half the truth.
func (c *Capture) load(r *row) error {
	spec, err := r.object()
	if err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	if err := c.configure(spec); err != nil {
		return err
	}
	// The kernel's types are some 40 MB: read once, and not kept.
	c.types = btf.NewCache()
	defer func() { c.types = nil }()
	bare := spec.Copy()
	bare.Programs = map[string]*ebpf.ProgramSpec{}
	coll, err := ebpf.NewCollectionWithOptions(bare, ebpf.CollectionOptions{Cache: c.types})
	if err != nil {
		return fmt.Errorf("make the maps: %w", plain(err))
	}
	c.maps = coll.Maps
	c.gen, c.late = coll.Variables["hs_gen"], coll.Variables["hs_late"]
	if err := c.fillFilters(); err != nil {
		return err
	}
	if c.ring, err = newRing(c.maps["hs_events"], c.cfg.wake()); err != nil {
		return err
	}
	if err := c.whoami(spec, coll.Variables["hs_self"]); err != nil {
		return err
	}
	progs, errs := make([]*ebpf.Program, len(r.hooks)), make([]error, len(r.hooks))
	for i := range r.hooks {
		h := &r.hooks[i]
		if h.need && h.at.kind == tracepoint && noTracefs() { // before much is loaded for nothing
			return fmt.Errorf("%s at %s: %w", h.prog, h.at, ErrNoTracefs)
		}
		if progs[i], errs[i] = c.one(spec, h.prog); errs[i] != nil && h.need {
			return fmt.Errorf("%s at %s: %w", h.prog, h.at, errs[i])
		} else if errs[i] == nil {
			c.progs = append(c.progs, progs[i])
		}
	}
	for i := range r.hooks {
		h := &r.hooks[i]
		if errs[i] == nil {
			errs[i] = c.attach(h, progs[i])
		}
		told := Hook{Prog: h.prog, At: h.at.String(), For: h.blind, Attached: errs[i] == nil}
		if errs[i] != nil {
			if h.need {
				return fmt.Errorf("%s at %s: %w", h.prog, h.at, errs[i])
			}
			told.Err = errs[i].Error()
		}
		c.hooks = append(c.hooks, told)
	}
	if r.storage {
		c.hooks = append(c.hooks, c.iterate(spec, lostProg, blindLost, &c.says))
	}
	if c.cfg.Flows {
		c.hooks = append(c.hooks, c.iterate(spec, eachProg, blindCount, &c.each))
	}
	c.gos = newGos(c)
	return nil
}

func (c *Capture) configure(spec *ebpf.CollectionSpec) error {
	spec.Maps["hs_events"].MaxEntries = uint32(c.cfg.RingBytes)
	set := func(name string, v any) error {
		s, ok := spec.Variables[name]
		if !ok {
			return fmt.Errorf("the object has no %s", name)
		}
		if err := s.Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		return nil
	}
	return errors.Join(
		set("hs_cfg_max_capture", uint32(c.cfg.MaxCapture)),
		set("hs_cfg_max_burst", uint32(c.cfg.MaxBurst)),
		set("hs_cfg_further", uint32(c.cfg.Further)),
		set("hs_cfg_want", c.cfg.Filter.want()),
		set("hs_cfg_wake", uint32(c.cfg.wake())),
		set("hs_cfg_udp", !c.cfg.NoUDP),
		set("hs_cfg_unix", !c.cfg.NoUnix),
		set("hs_cfg_flows", c.cfg.Flows),
		set("hs_cfg_started", time.Now().Unix()),
	)
}

// one loads one program of spec on the maps that exist.
func (c *Capture) one(spec *ebpf.CollectionSpec, name string) (*ebpf.Program, error) {
	p, ok := spec.Programs[name]
	if !ok {
		return nil, errors.New("not in the object")
	}
	s := spec.Copy()
	s.Programs = map[string]*ebpf.ProgramSpec{name: p.Copy()}
	share := map[string]*ebpf.Map{}
	for n, m := range c.maps {
		if _, ok := s.Maps[n]; ok {
			share[n] = m
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(s, ebpf.CollectionOptions{MapReplacements: share, Cache: c.types})
	if err != nil {
		return nil, plain(err)
	}
	prog := coll.DetachProgram(name)
	coll.Close()
	return prog, nil
}

// whoami finds the collector's pid in the initial namespace, which is what
// programs see: a program that runs in our own call stores it.
func (c *Capture) whoami(spec *ebpf.CollectionSpec, self *ebpf.Variable) error {
	p, err := c.one(spec, "hs_whoami")
	if err != nil {
		return fmt.Errorf("load hs_whoami: %w", err)
	}
	defer p.Close()
	if _, err := p.Run(&ebpf.RunOptions{}); err != nil {
		return fmt.Errorf("run hs_whoami: %w", err)
	}
	var pid uint32
	if err := self.Get(&pid); err != nil || pid == 0 {
		return fmt.Errorf("hs_whoami found no pid: %w", err)
	}
	if c.cfg.self {
		return self.Set(uint32(0))
	}
	return nil
}

func (c *Capture) attach(h *hook, p *ebpf.Program) error {
	l, err := h.at.attach(p)
	if err != nil {
		return plain(err)
	}
	c.links = append(c.links, l)
	return nil
}

func (a at) attach(p *ebpf.Program) (link.Link, error) {
	switch a.kind {
	case btfTracepoint, fexit:
		return link.AttachTracing(link.TracingOptions{Program: p})
	case tracepoint:
		group, name, _ := strings.Cut(a.name, "/")
		return link.Tracepoint(group, name, p, nil)
	case rawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: a.name, Program: p})
	}
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	return link.AttachCgroup(link.CgroupOptions{Path: root, Attach: cgroupAttach[a.name], Program: p})
}

// noTracefs reports whether tracefs is at neither of its usual places.
func noTracefs() bool {
	for _, d := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(d + "/events"); err == nil {
			return false
		}
	}
	return true
}

var cgroupAttach = map[string]ebpf.AttachType{
	"recvmsg4": ebpf.AttachCGroupUDP4Recvmsg,
	"recvmsg6": ebpf.AttachCGroupUDP6Recvmsg,
}

var errNoCgroup2 = errors.New("no cgroup2 hierarchy is mounted")

// cgroupRoot is where the cgroup2 hierarchy is mounted.
func cgroupRoot() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(b) {
		head, tail, ok := strings.Cut(string(line), " - ")
		f := strings.Fields(head)
		if ok && len(f) > 4 && strings.HasPrefix(tail, "cgroup2 ") {
			return f[4], nil
		}
	}
	return "", errNoCgroup2
}

// plain is err in one line: the verifier's log is for those who ask for it
// with HOPSCOPE_VERIFIER_LOG=1.
func plain(err error) error {
	var v *ebpf.VerifierError
	if errors.As(err, &v) && os.Getenv("HOPSCOPE_VERIFIER_LOG") != "" {
		return fmt.Errorf("%w\n%+v", err, v)
	}
	if s := err.Error(); strings.Contains(s, memlockHint) {
		return &hintless{err, strings.ReplaceAll(s, memlockHint, "")}
	}
	return err
}

// memlockHint is what the library guesses about every refusal. Start has raised
// the limit, where there is one.
const memlockHint = " (MEMLOCK may be too low, consider rlimit.RemoveMemlock)"

// hintless is an error without it.
type hintless struct {
	err  error
	text string
}

func (h *hintless) Error() string { return h.text }
func (h *hintless) Unwrap() error { return h.err }

// drops is what did not fit the ring, over all CPUs.
func (c *Capture) drops() (event.Loss, error) {
	var sum event.Loss
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.maps == nil {
		return sum, os.ErrClosed
	}
	var per []event.Loss
	key := uint32(0)
	if err := c.maps["hs_drops"].Lookup(&key, &per); err != nil {
		return sum, err
	}
	for i := range per {
		for j := range sum.Calls {
			sum.Calls[j] += per[i].Calls[j]
			sum.Turns[j] += per[i].Turns[j]
		}
		sum.Other += per[i].Other
	}
	return sum, nil
}
