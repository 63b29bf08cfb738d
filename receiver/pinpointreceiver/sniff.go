package pinpointreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/tap"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/owner"
)

// sniffer reads agents' connections with another collector.
type sniffer struct {
	cfg     *SniffConfig
	core    *core
	log     *zap.Logger
	source  *tap.Source
	late    late
	reader  *calls.Sniffer
	asm     *stream.Assembler
	decoder packet.Decoder
	now     int64
	ticked  int64
	told    int64 // when people were told of unnamed connections
	// before are the assemblers that are done with.
	mu     sync.Mutex
	before []*stream.Assembler
	// read is closed when all files are read.
	read chan struct{}
}

func newSniffer(cfg *SniffConfig, c *core, log *zap.Logger) (*sniffer, error) {
	s := &sniffer{cfg: cfg, core: c, log: log, read: make(chan struct{})}
	s.late.core = c
	if cfg.Processes {
		s.late.find = func(local, remote netip.AddrPort) (owner.Agent, error) { return owner.Find("/proc", local, remote) }
	}
	s.reader = calls.New(cfg.Ports, s.late.put)
	s.reader.Closed = s.late.closed
	s.reset()
	if len(cfg.Interfaces) == 0 {
		return s, nil
	}
	var err error
	s.source, err = tap.Open(tap.Config{Interfaces: cfg.Interfaces, Filter: filter(cfg.Ports), RingBytes: cfg.RingSize, NetNS: cfg.NetNS})
	if err != nil {
		return nil, fmt.Errorf("sniff on %s: %w (it needs root, or the capability CAP_NET_RAW)", strings.Join(cfg.Interfaces, ", "), err)
	}
	return s, nil
}

// reset starts with no connections.
func (s *sniffer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asm != nil {
		s.before = append(s.before, s.asm)
	}
	s.asm = stream.NewAssembler(stream.AssemblerConfig{HoleWait: calls.HoleWait, HoleSegments: calls.HoleSegments}, s.reader.Put)
}

// filter keeps all other traffic in the kernel.
func filter(ports []uint16) string {
	var f []string
	for _, p := range ports {
		f = append(f, "tcp port "+strconv.Itoa(int(p)))
	}
	return strings.Join(f, " or ")
}

// start reads files, then interfaces, until ctx is over.
func (s *sniffer) start(ctx context.Context, all *sync.WaitGroup, ended func(error)) {
	all.Go(func() {
		for _, path := range s.cfg.Files {
			if err := s.file(ctx, path); err != nil {
				ended(err)
			}
		}
		close(s.read)
		if s.source == nil {
			return
		}
		s.reset()
		if err := s.live(ctx); err != nil && ctx.Err() == nil {
			ended(fmt.Errorf("sniff: %w", err))
		}
	})
	if s.source != nil {
		all.Go(func() {
			s.source.Watch(ctx, func(err error) { s.log.Warn("interfaces", zap.Error(err)) })
		})
	}
}

// file reads a capture, by its own clock.
func (s *sniffer) file(ctx context.Context, path string) error {
	f, err := packet.Open(path)
	if err != nil {
		return fmt.Errorf("sniff::files: %w", err)
	}
	defer f.Close()
	for fr := (packet.Frame{}); ctx.Err() == nil; {
		switch err := f.Next(&fr); {
		case errors.Is(err, io.EOF):
			s.asm.Flush()
			s.core.flush(s.now)
			s.log.Info("capture read", zap.String("file", path), zap.Any("stats", s.stats()))
			return nil
		case err != nil:
			s.asm.Flush()
			s.core.flush(s.now)
			return fmt.Errorf("read %s: %w", path, err)
		}
		s.frame(&fr)
	}
	return nil
}

// live reads interfaces. One goroutine reads one ring: the source has one.
func (s *sniffer) live(ctx context.Context) error {
	err := s.source.Run(ctx, 0, s.frame, s.tick)
	return errors.Join(err, s.source.Close())
}

func (s *sniffer) frame(fr *packet.Frame) {
	var seg packet.Segment
	if s.decoder.Decode(fr, &seg) == packet.OK {
		s.asm.Put(&seg)
	}
	s.tick(fr.Time)
}

// tick moves the clock.
func (s *sniffer) tick(now int64) {
	s.now = max(s.now, now)
	if s.now-s.ticked < int64(tickEvery) {
		return
	}
	s.ticked = s.now
	s.asm.Tick(s.now)
	s.core.tick(s.now)
	if n := s.late.unnamed.Load(); n > 0 && s.now-s.told >= tellEvery {
		s.told = s.now
		s.log.Warn("agents' connections are older than this receiver and do not say whose they are: restart the collector that they report to, or wait until they connect again",
			zap.Int64("connections", n))
	}
}

// tellEvery is how often people are told what cannot be known.
const tellEvery = int64(5 * time.Minute)

// stream adds up a counter of the assemblers.
func (s *sniffer) stream(of func(*stream.AssemblerStats) uint64) (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range append(s.before, s.asm) {
		n += of(a.Stats())
	}
	return n
}

// stats are counters for people.
func (s *sniffer) stats() map[string]uint64 {
	st := s.reader.Stats()
	return map[string]uint64{
		"connections": st.Conns.Load(), "late_connections": st.Late.Load(), "calls": st.Calls.Load(), "messages": st.Messages.Load(),
		"messages_lost": st.Lost.Load(), "blind_calls": st.Blind.Load(), "partial_calls": st.Partial.Load(),
		"path_guessed": s.late.byShape.Load() + s.late.byPort.Load(), "agent_learned": s.late.byConn.Load() + s.late.byPeer.Load() + s.late.byProcess.Load() + s.late.byRoot.Load(),
		"unidentified": s.late.Unidentified.Load(), "unknown_path": s.late.UnknownPath.Load(),
	}
}
