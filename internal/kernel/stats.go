//go:build linux

package kernel

import "github.com/hopscope/hopscope/internal/event"

// errNames is enum hs_err; TestErrorNames compares them.
var errNames = [...]string{
	"no_storage", "read_msg", "read_buffer", "mmsg_lost", "goid", "no_regs", "compat", "uring",
}

// Stats is what capture counted since Start.
func (c *Capture) Stats() Stats {
	s := Stats{
		Events: c.events.Load(), Bytes: c.bytes.Load(), Wakes: c.wakes.Load(), Bad: c.bad.Load(),
		Errors: make(map[string]uint64, len(errNames)),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.maps == nil {
		return s
	}
	if c.ring != nil {
		s.Ring, s.Pending = c.ring.size, c.ring.pending()
	}
	key := uint32(0)
	var per []event.Loss
	if c.maps["hs_drops"].Lookup(&key, &per) == nil {
		s.LostByCPU = make([]uint64, len(per))
		for cpu := range per {
			for d := range 2 {
				for r := range 3 {
					i := event.At(event.Dir(d), event.Role(r))
					s.LostCalls[d][r] += per[cpu].Calls[i]
					s.LostTurns[d][r] += per[cpu].Turns[i]
				}
			}
			s.LostByCPU[cpu] = per[cpu].Total() + per[cpu].Other
			s.LostOther += per[cpu].Other
		}
	}
	if c.gos != nil && c.gos.probes != nil {
		s.GoHooked, s.GoFailed = uint64(max(0, c.gos.probes.hooked.Load())), c.gos.probes.failed.Load()
	}
	for i, name := range errNames {
		key = uint32(i)
		var n []uint64
		if c.maps["hs_errors"].Lookup(&key, &n) != nil {
			continue
		}
		for _, v := range n {
			s.Errors[name] += v
		}
	}
	for _, p := range c.progs {
		if st, err := p.Stats(); err == nil {
			s.Missed += st.RecursionMisses
		}
	}
	return s
}
