//go:build linux

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/hopscope/hopscope/internal/event"
)

// Capture is a running capture.
type Capture struct {
	cfg   Config
	maps  map[string]*ebpf.Map
	gen   *ebpf.Variable
	progs []*ebpf.Program
	links []link.Link
	hooks []Hook
	types *btf.Cache // while hooks are loaded
	ring  *ring
	gos   *gos
	each  *link.Iter // runs a program for every socket; nil: there is none
	says  *link.Iter // runs one that tells what was lost on it; nil: there is none
	late  *ebpf.Variable

	missing map[string]bool // cgroups of the filter that are not there

	mu     sync.Mutex // wishes, gen, drops
	wished atomic.Bool

	events, bytes, wakes, bad atomic.Uint64
	loss                      event.Loss
	offset                    int64
}

// Start loads and attaches the best row of hooks that this kernel gives. On an
// error nothing is left in the kernel.
func Start(cfg Config) (*Capture, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// Kernels before 5.11 charge maps to a limit that is small by default.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("kernel: raise the locked memory limit: %w", err)
	}
	var errs []error
	for i := range socketRows {
		r := &socketRows[i]
		if !cfg.wants(r.name) {
			continue
		}
		c := &Capture{cfg: cfg, missing: map[string]bool{}}
		if err := c.load(r); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
			_ = c.Close()
			continue
		}
		for _, err := range errs {
			c.hooks = append(c.hooks, Hook{Prog: "-", At: "row", For: "nothing: a later row does it", Err: err.Error()})
		}
		return c, nil
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("kernel: no row of hooks is called %q", cfg.Rows)
	}
	err = errors.Join(errs...)
	if errors.Is(err, ebpf.ErrNotSupported) {
		if _, why := btf.LoadKernelSpec(); why != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoBTF, why)
		}
	}
	return nil, fmt.Errorf("kernel: no socket hooks on this kernel: %w", err)
}

// Hooks tells what is attached, and what is blind.
func (c *Capture) Hooks() []Hook { return append([]Hook(nil), c.hooks...) }

// Run gives every record to f in kernel order, until ctx is done; then it reads
// what is left. f may not keep what it is given. Records about no socket
// (event.Kind.Broadcast) are made here and mixed in. idle is called after
// records, when there are no more for now.
func (c *Capture) Run(ctx context.Context, f func(raw []byte), idle func()) error {
	var e event.Event
	var own []byte
	make1 := func(k event.Kind) {
		e.Head = event.Head{Time: monotonic(), Kind: k}
		own = e.Append(own[:0])
		f(own)
	}
	var fresh newcomers
	if c.cfg.Filter.cgroups() {
		fresh.seen = map[uint64]bool{}
	}
	each := func(b []byte) {
		n := recordSize(b)
		if n == 0 {
			c.bad.Add(1)
			return
		}
		b = b[:n]
		switch event.PeekKind(b) {
		case event.KindExec, event.KindExit:
			c.gos.see(b)
			fresh.see(b)
		}
		f(b)
	}
	var nextClock, nextLoss uint64
	var last lastWords
	var silent silent
	flush := c.cfg.Flush
	for done := false; !done; {
		done = ctx.Err() != nil
		now := monotonic()
		if now >= nextClock {
			nextClock = now + uint64(time.Second)
			if o := clockOffset(); c.offset == 0 || abs(o-c.offset) > clockDrift {
				c.offset, e.Clock.Offset = o, o
				make1(event.KindClock)
			}
		}
		if now >= nextLoss || done {
			nextLoss = now + uint64(250*time.Millisecond)
			if l, err := c.drops(); err == nil && l != c.loss {
				c.loss, e.Loss = l, l
				make1(event.KindLoss)
				silent.since(now)
			}
			last.look(c)
		}
		if silent.due(now, done) {
			c.read(each) // they need room
			c.sayLost()
		}
		bytes, records := c.read(each)
		last.tell(c, each, done)
		if (fresh.look && now >= fresh.next) || (len(c.missing) > 0 && now >= fresh.next+missingEvery) {
			fresh.look, fresh.next = false, now+newcomersEvery
			if found, err := c.findCgroups(); err == nil && found {
				c.wished.Store(true)
			}
		}
		if c.wished.Swap(false) {
			c.bump()
		}
		idle()
		// A host without traffic is looked at less often, and one with so much that
		// waking up for it is what counts, too.
		switch {
		case records == 0:
			flush = min(2*flush, maxFlush*c.cfg.Flush)
		case bytes >= busyBytes:
			flush = 2 * c.cfg.Flush
		default:
			flush = c.cfg.Flush
		}
		if !done {
			c.ring.wait(flush)
		}
	}
	return nil
}

// read gives what is in the ring to f.
func (c *Capture) read(f func([]byte)) (bytes, records uint64) {
	bytes, records = c.ring.drain(f)
	if records > 0 {
		c.bytes.Add(bytes)
		c.events.Add(records)
		c.wakes.Add(1)
	}
	return bytes, records
}

// maxFlush is how many times Flush passes before an empty ring is looked at
// again.
const maxFlush = 4

// busyBytes read at once are much: with the default Flush, 50 MB a second.
const busyBytes = 512 << 10

// wake is how many bytes in the ring wake the reader.
func (c Config) wake() int { return c.RingBytes / 4 }

// clockDrift is how far the clocks may drift apart before it is told.
const clockDrift = 20_000 // ns

// Mute: nobody reads this socket any more.
func (c *Capture) Mute(sock uint64) { c.wish(sock, wishMute) }

// Announce asks for what this socket is, before its next bytes.
func (c *Capture) Announce(sock uint64) { c.wish(sock, wishAnnounce) }

// Raise captures every call on this socket to the full: for protocols whose
// messages do not take turns (HTTP/2, Kafka).
func (c *Capture) Raise(sock uint64) { c.wish(sock, wishRaise) }

// Burst captures up to Config.MaxBurst of every call on this socket: for
// connections whose calls move many small messages.
func (c *Capture) Burst(sock uint64) { c.wish(sock, wishBurst) }

// Twin of enum hs_wish.
const (
	wishMute     uint32 = 1
	wishAnnounce uint32 = 2
	wishRaise    uint32 = 4
	wishBurst    uint32 = 8
)

func (c *Capture) wish(sock uint64, what uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.maps == nil {
		return
	}
	var had uint32
	_ = c.maps["hs_wishes"].Lookup(&sock, &had)
	what |= had
	_ = c.maps["hs_wishes"].Update(&sock, &what, ebpf.UpdateAny)
	c.wished.Store(true)
}

// bump has every socket look for wishes at its next call.
func (c *Capture) bump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var g uint32
	if c.gen != nil && c.gen.Get(&g) == nil {
		_ = c.gen.Set(g + 1)
	}
}

// Close detaches everything. Run has to be over.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	for _, p := range c.progs {
		errs = append(errs, p.Close())
	}
	for _, l := range []**link.Iter{&c.each, &c.says} {
		if *l != nil {
			errs = append(errs, (*l).Close())
			*l = nil
		}
	}
	if c.gos != nil {
		c.gos.close()
	}
	if c.ring != nil {
		c.ring.close()
		c.ring = nil
	}
	for _, m := range c.maps {
		errs = append(errs, m.Close())
	}
	c.links, c.progs, c.maps, c.gen, c.late = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// recordSize is the size that a record says it has; the ring's own may be
// larger. 0: it is none.
func recordSize(b []byte) int {
	if len(b) < event.HeadSize {
		return 0
	}
	n := int(uint32(b[24]) | uint32(b[25])<<8 | uint32(b[26])<<16 | uint32(b[27])<<24)
	if n < event.HeadSize || n > len(b) {
		return 0
	}
	return n
}

func monotonic() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return uint64(ts.Nano())
}

// clockOffset is unix time minus CLOCK_MONOTONIC, from the narrowest of a few
// readings.
func clockOffset() int64 {
	best, width := int64(0), int64(1<<62)
	for range 5 {
		a := int64(monotonic())
		w := time.Now().UnixNano()
		b := int64(monotonic())
		if b-a < width {
			best, width = w-(a+b)/2, b-a
		}
	}
	return best
}

func abs(n int64) int64 { return max(n, -n) }

func (c Config) wants(row string) bool {
	if len(c.Rows) == 0 {
		return true
	}
	for _, r := range c.Rows {
		if r == row {
			return true
		}
	}
	return false
}

func (c Config) withDefaults() (Config, error) {
	def := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	def(&c.RingBytes, DefaultRing)
	def(&c.MaxCapture, DefaultMaxCapture)
	def(&c.MaxBurst, DefaultMaxBurst)
	def(&c.Further, DefaultFurther)
	if c.Flush == 0 {
		c.Flush = DefaultFlush
	}
	if c.RingBytes < minRing || c.RingBytes > 1<<30 {
		return c, fmt.Errorf("kernel: ring of %d bytes: it has to be between %d and %d", c.RingBytes, minRing, 1<<30)
	}
	if c.MaxCapture < 0 || c.MaxCapture > MaxMaxCapture {
		return c, fmt.Errorf("kernel: max_capture of %d bytes: at most %d", c.MaxCapture, MaxMaxCapture)
	}
	if c.MaxBurst < 0 || c.MaxBurst > MaxMaxBurst {
		return c, fmt.Errorf("kernel: max_burst of %d bytes: at most %d", c.MaxBurst, MaxMaxBurst)
	}
	c.MaxBurst = max(c.MaxBurst, c.MaxCapture)
	c.Further = min(max(c.Further, 0), c.MaxCapture)
	n := max(minRing, os.Getpagesize())
	for n < c.RingBytes {
		n *= 2
	}
	c.RingBytes = n
	return c, nil
}
