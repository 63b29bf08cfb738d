package who

import (
	"crypto/sha1" //nolint:gosec // a UUID of version 5 is made of it
	"encoding/hex"
	"strconv"
)

// Config is what a Table may be told. The zero value is usable.
type Config struct {
	// Proc is where the host's /proc is. "": /proc.
	Proc string
	// Command keeps command lines, which may hold secrets.
	Command bool
	// Max is how many processes are remembered. Zero: 4096.
	Max int
	// Host makes instance ids unique among hosts.
	Host Host
}

const defaultMax = 4096

// Table remembers processes. One goroutine owns it.
//
// It is a cache of two generations: what was not asked for while half of Max
// others were is forgotten.
type Table struct {
	cfg      Config
	cur, old map[uint32]entry
	reads    uint64
	misses   uint64
}

// entry is a process, or nil for one that could not be read.
type entry struct{ p *Process }

// NewTable makes an empty table.
func NewTable(cfg Config) *Table {
	if cfg.Proc == "" {
		cfg.Proc = "/proc"
	}
	if cfg.Max <= 0 {
		cfg.Max = defaultMax
	}
	return &Table{cfg: cfg, cur: map[uint32]entry{}, old: map[uint32]entry{}}
}

// Process is the process pid, nil if it was gone before anybody asked. The
// first call for a pid reads /proc; one that exited stays known until its pid
// is used again.
func (t *Table) Process(pid uint32) *Process {
	if pid == 0 {
		return nil
	}
	if e, ok := t.cur[pid]; ok {
		return e.p
	}
	e, ok := t.old[pid]
	if ok {
		delete(t.old, pid)
	} else {
		t.reads++
		if e.p = t.read(pid); e.p == nil {
			t.misses++
		}
	}
	t.keep(pid, e)
	return e.p
}

// Began forgets what was known of pid: the number is used by another process,
// or the process runs another program.
func (t *Table) Began(pid uint32) {
	delete(t.cur, pid)
	delete(t.old, pid)
}

// Recheck forgets the processes whose number meanwhile belongs to another one.
// Only needed where nobody calls Began. It reads one file per process.
func (t *Table) Recheck() {
	for _, m := range []map[uint32]entry{t.cur, t.old} {
		for pid, e := range m {
			start, _, ok := t.stat(pid)
			if e.p == nil || ok && start != e.p.Start {
				delete(m, pid)
			}
		}
	}
}

// Counts is how many processes were read from /proc, and how many of them were
// gone already.
func (t *Table) Counts() (reads, misses uint64) { return t.reads, t.misses }

func (t *Table) keep(pid uint32, e entry) {
	if len(t.cur) >= t.cfg.Max/2 {
		t.old, t.cur = t.cur, make(map[uint32]entry, len(t.cur))
	}
	t.cur[pid] = e
}

// instance is a UUID (version 5 in form) of the process.
func (t *Table) instance(pid uint32, start uint64) string {
	s := sha1.Sum([]byte("hopscope process " + t.cfg.Host.ID + " " + strconv.FormatUint(uint64(pid), 10) + " " + strconv.FormatUint(start, 10))) //nolint:gosec // no secret
	s[6] = s[6]&0x0f | 0x50
	s[8] = s[8]&0x3f | 0x80
	h := hex.EncodeToString(s[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
