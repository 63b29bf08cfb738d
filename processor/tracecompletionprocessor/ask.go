package tracecompletionprocessor

import (
	"context"
	"time"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/links"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/table"
)

// rounds is how often the link table is asked about a batch while it waits. In
// each, hosts learn what their neighbours told in the one before: an id that is
// known late, down the path, needs them to come up again.
const rounds = 3

// due is when a batch is asked about for the nth time, after it came. The last
// time is early enough for the answer to be there before the batch leaves.
func (p *completion) due(round int) time.Duration {
	last := p.cfg.Settle - min(p.cfg.Links.Timeout+2*p.pause(), p.cfg.Settle/4)
	return last * time.Duration(round+1) / rounds
}

// ask asks about the batches whose turn it is. It runs beside everything else:
// spans never wait for the link table.
func (p *completion) ask(now int64) {
	for round := rounds - 1; round >= 0; round-- {
		p.askAbout(context.Background(), now-int64(p.due(round)), round)
	}
}

// question is what is asked for the sake of node.
type question struct {
	node *table.Node
	lid  hop.Key // 0: whether node's own trace is part of another one
}

// askAbout asks about batches that came before t and were not asked about more
// than round times, and tells what this host knows by now.
func (p *completion) askAbout(ctx context.Context, t int64, round int) {
	var about []question
	var keys []links.Key
	tell := map[links.Key]links.Trace{}
	asked := map[links.Key]bool{}
	add := func(k links.Key, q question) {
		if !asked[k] {
			asked[k] = true
			keys, about = append(keys, k), append(about, q)
		}
	}
	p.mu.Lock()
	var turn []*batch
	for _, b := range p.waiting {
		if b.came > t {
			break
		}
		if b.asked > round {
			continue
		}
		b.asked = round + 1
		if round > 0 {
			p.settle(b)
		}
		turn = append(turn, b)
	}
	owns := p.table.Owns()
	for _, b := range turn {
		for i := range b.nodes {
			n := &b.nodes[i]
			if n.Index < 0 || n.App() {
				continue
			}
			if p.table.Ask(n) {
				add(links.Exchange(n.LID), question{n, n.LID})
			}
			own, provisional := owns.Of(n)
			if round == 0 && p.table.Tell(n, true) {
				tell[links.Exchange(n.LID)] = links.Trace{ID: own, Provisional: provisional}
			}
			if n.Provisional && own != n.Trace && n.Point.OfClientHost() {
				tell[links.Alias(n.Trace)] = links.Trace{ID: own, Provisional: provisional}
			}
			if provisional && round > 0 {
				add(links.Alias(own), question{node: n})
				if own != n.Trace && n.Provisional {
					add(links.Alias(n.Trace), question{node: n})
				}
			}
		}
	}
	p.mu.Unlock()
	p.put(tell)
	p.lookUp(ctx, keys, about)
}

func (p *completion) put(tell map[links.Key]links.Trace) {
	if len(tell) == 0 {
		return
	}
	entries := make([]links.Entry, 0, len(tell))
	for k, t := range tell {
		entries = append(entries, links.Entry{Key: k, Trace: t})
	}
	p.links.Put(entries)
}

// maxLookUp bounds the keys of one round trip.
const maxLookUp = 4096

// lookUp learns from the link table what it knows of keys, in bounded time, and
// tells what follows from it.
func (p *completion) lookUp(ctx context.Context, keys []links.Key, about []question) {
	for len(keys) > 0 {
		n := min(len(keys), maxLookUp)
		ctx, cancel := context.WithTimeout(ctx, p.cfg.Links.Timeout)
		found, steps, err := links.Resolve(ctx, p.links, keys[:n])
		cancel()
		p.chained.Add(uint64(steps))
		if err != nil {
			// What came before the error is used; the rest is asked in the next round.
			p.lookupErrors.Add(uint64(len(keys)))
		}
		tell := map[links.Key]links.Trace{}
		p.mu.Lock()
		for i, t := range found {
			if t.ID == ([16]byte{}) {
				continue
			}
			var told table.Learned
			var ok bool
			if q := about[i]; q.lid != 0 {
				told, ok = p.table.Learn(q.lid, t.ID, t.Provisional)
			} else {
				told, ok = p.table.Rename(q.node, t.ID, t.Provisional)
			}
			if ok {
				tell[links.Alias(told.Was)] = links.Trace{ID: told.Is, Provisional: told.Provisional}
			}
		}
		p.mu.Unlock()
		p.put(tell)
		if err != nil {
			return
		}
		keys, about = keys[n:], about[n:]
	}
}
