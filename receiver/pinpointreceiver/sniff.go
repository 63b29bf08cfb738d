package pinpointreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/internal/tap"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
)

// sniffer reads agents' connections with another collector.
type sniffer struct {
	cfg    *SniffConfig
	core   *core
	log    *zap.Logger
	source *tap.Source
	late   late
	reader *calls.Sniffer
	asm    *stream.Assembler
	now    int64
	ticked int64
	// read is closed when all files are read.
	read chan struct{}
}

func newSniffer(cfg *SniffConfig, c *core, log *zap.Logger) (*sniffer, error) {
	s := &sniffer{cfg: cfg, core: c, log: log, read: make(chan struct{})}
	s.late.core = c
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
	s.reader = calls.New(s.cfg.Ports, s.late.put)
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
	var d packet.Decoder
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
		s.frame(&d, &fr)
	}
	return nil
}

// live reads interfaces. One goroutine reads one ring: the source has one.
func (s *sniffer) live(ctx context.Context) error {
	var d packet.Decoder
	err := s.source.Run(ctx, 0, func(fr *packet.Frame) { s.frame(&d, fr) }, s.tick)
	return errors.Join(err, s.source.Close())
}

func (s *sniffer) frame(d *packet.Decoder, fr *packet.Frame) {
	var seg packet.Segment
	if d.Decode(fr, &seg) == packet.OK {
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
}

// stats are counters for people.
func (s *sniffer) stats() map[string]uint64 {
	st := s.reader.Stats()
	return map[string]uint64{
		"connections": st.Conns.Load(), "late_connections": st.Late.Load(), "calls": st.Calls.Load(), "messages": st.Messages.Load(),
		"messages_lost": st.Lost.Load(), "blind_calls": st.Blind.Load(), "partial_calls": st.Partial.Load(),
		"path_guessed": s.late.Guessed, "agent_learned": s.late.Learned, "unidentified": s.late.Unidentified, "unknown_path": s.late.UnknownPath,
	}
}
