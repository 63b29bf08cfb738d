package ebpfreceiver

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer"

	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/who"
)

// pipeline wires the stages of docs/house.md:
//
//	2  kernel.Capture   -> raw records          put
//	3  stream.Table     -> stream.Chunk         shard
//	4  session.Engine   -> session.Exchange     shard
//	5  cause.Tracker    -> cause.Linked         shard
//	6  span.Builder     -> ptrace.Traces        shard
//	   queue            -> the next component   one goroutine
//
// With one worker, stages 3 to 6 run in the goroutine that reads the ring. With
// several, each owns the processes whose number is its own; a record is copied
// to reach it. A worker that is behind holds up the reader, never loses: what
// does not fit then is counted where it can be told exactly, in the kernel.
type pipeline struct {
	shards  []*shard
	config  shardConfig
	packets *packetReader // nil: off
	flows   *flowSink     // nil: nobody wants them
	workers []*worker     // empty: one shard, inline
	owner   map[uint64]*worker
	rules   []string // what the rules of extract make
	out     *queue
	running sync.WaitGroup
	sender  context.CancelFunc
	tell    bool // the kernel tells of new processes
	// count asks the kernel what it has counted of connections, every
	// flows.interval; nil: nobody wants it.
	count   func() error
	counted time.Time
}

func newPipeline(cfg *Config, known []*l7.Protocol, host who.Host, version string, c capture, flows *flowSink, next consumer.Traces) *pipeline {
	p := &pipeline{out: newQueue(cfg.Batch.Queue, next), flows: flows}
	if flows != nil && cfg.Sockets.Mode != modeOff && cfg.Packets.Mode != modeFile { // files bring their own time
		p.count, p.counted = c.Count, time.Now()
	}
	for _, h := range c.Hooks() {
		p.tell = p.tell || h.Prog == execProg && h.Attached
	}
	sc := shardConfig{
		session: cfg.sessionConfig(known),
		spoken:  cfg.spoken(known),
		stream:  stream.TableConfig{MaxConns: max(1, cfg.MaxConnections/cfg.Workers), Announce: c.Announce, Wanted: cfg.wantedPair()},
		span: span.Config{Version: version, Host: host, MaxSpans: cfg.Batch.MaxSpans, MaxAge: cfg.Batch.MaxAge, Payload: cfg.payload() > 0,
			Names: span.Names{PerSegment: cfg.Names.PerSegment, PerPort: cfg.Names.PerPort}},
		who:      who.Config{Proc: cfg.Process.ProcRoot, Command: cfg.Process.CommandLine, Host: host},
		unparsed: newWants(&cfg.Unparsed), ignoreVLAN: cfg.Packets.IgnoreVLAN,
		mute:  c.Mute,
		raise: c.Raise,
		burst: c.Burst,
		emit:  p.out.put,
		flows: flows,
	}
	p.config = sc
	for i := range cfg.Extract {
		p.rules = append(p.rules, cfg.Extract[i].As)
	}
	for range cfg.Workers {
		s := newShard(sc)
		p.shards = append(p.shards, s)
		if cfg.Workers > 1 {
			p.workers = append(p.workers, newWorker(s))
		}
	}
	p.owner = map[uint64]*worker{}
	return p
}

// execProg is the program that tells of new executables.
const execProg = "hs_exec"

func (p *pipeline) start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.sender = cancel
	go p.out.run(ctx)
	if p.flows != nil {
		go p.flows.run(ctx)
	}
	for _, w := range p.workers {
		p.running.Go(w.run)
	}
}

// put takes one raw record, borrowed. One goroutine calls it.
func (p *pipeline) put(raw []byte) {
	if len(p.workers) == 0 {
		p.shards[0].put(raw)
		return
	}
	kind := event.PeekKind(raw)
	if kind.Broadcast() {
		for _, w := range p.workers {
			w.put(raw)
		}
		return
	}
	p.of(kind, raw).put(raw)
}

// idle is called by the goroutine that calls put, when it has nothing more for
// now.
func (p *pipeline) idle() {
	if len(p.workers) == 0 {
		p.shards[0].idle()
	}
}

// of is the worker of a record: that of its process, and for a socket that
// which met it first, since the last words of a socket come from anywhere.
func (p *pipeline) of(kind event.Kind, raw []byte) *worker {
	byPid := p.workers[event.PeekPid(raw)%uint32(len(p.workers))]
	sock := event.PeekSock(raw)
	if sock == 0 {
		return byPid
	}
	w := p.owner[sock]
	switch {
	case w == nil && kind == event.KindOpen:
		if len(p.owner) >= maxOwners { // closes were lost
			clear(p.owner)
		}
		p.owner[sock], w = byPid, byPid
	case w == nil:
		w = byPid
	case kind == event.KindClose && event.PeekGone(raw):
		delete(p.owner, sock)
	}
	return w
}

// maxOwners bounds what is remembered of sockets; past it they are found by
// process again.
const maxOwners = 1 << 18

// clock ticks until ctx is over.
func (p *pipeline) clock(ctx context.Context, room *headroom) {
	t := time.NewTicker(clockInterval)
	defer t.Stop()
	rechecked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			for _, w := range p.workers {
				w.hand()
			}
			for _, s := range p.shards {
				s.tick(now.UnixNano())
			}
			p.flowTick(now)
			room.tick(now)
			if !p.tell && now.Sub(rechecked) > recheckInterval {
				rechecked = now
				for _, s := range p.shards {
					s.recheck()
				}
			}
		}
	}
}

// flowTick is the clock of the flow records of sockets.
func (p *pipeline) flowTick(now time.Time) {
	if p.count == nil {
		return
	}
	p.flows.tick(now.UnixNano())
	if now.Sub(p.counted) >= time.Duration(p.flows.interval) {
		p.counted = now
		if p.count() != nil {
			p.flows.uncounted.Add(1)
		}
	}
}

// recheckInterval is how long a process may be taken for another one where the
// kernel does not tell of new ones.
const recheckInterval = 30 * time.Second

// stop is called when nobody calls put any more: it reports what is open and
// hands it on, as far as ctx allows.
func (p *pipeline) stop(ctx context.Context) error {
	for _, w := range p.workers {
		w.close()
	}
	p.running.Wait()
	for _, s := range p.shards {
		s.flush()
	}
	err := p.packets.stop()
	p.flows.stop()
	close(p.out.ch)
	for _, done := range p.senders() {
		select {
		case <-done:
		case <-ctx.Done():
			p.sender()
			<-done
		}
	}
	p.sender()
	return err
}

// senders are closed when all is handed on.
func (p *pipeline) senders() []chan struct{} {
	list := []chan struct{}{p.out.done}
	if p.flows != nil {
		list = append(list, p.flows.done)
	}
	return list
}
