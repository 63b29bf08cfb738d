package ebpfreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/tap"
)

// packetReader owns what reads packets: live rings, or files.
type packetReader struct {
	cfg    *PacketsConfig
	log    *zap.Logger
	source *tap.Source // nil with mode file
	shards []*packetShard
	all    sync.WaitGroup
}

// openPackets begins to capture packets. The rings fill from here on; run
// empties them.
func openPackets(ctx context.Context, cfg *Config, log *zap.Logger, p *pipeline) (*packetReader, error) {
	c := p.config
	r := &packetReader{cfg: &cfg.Packets, log: log}
	if cfg.Packets.Mode == modeFile {
		c.emit = p.out.wait(ctx)
		point, _ := hop.Parse(cfg.Packets.Point)
		place := func(uint32, uint32, packet.Way) (hop.Point, string) { return point, "" }
		r.shards = []*packetShard{newPacketShard(c, p, cfg.MaxConnections, place, nil)}
		return r, nil
	}
	s, err := tap.Open(cfg.Packets.tap())
	if err != nil {
		return nil, err
	}
	r.source = s
	match := s.Match
	if cfg.Packets.Filter == "" {
		match = nil
	}
	for range s.Rings() {
		r.shards = append(r.shards, newPacketShard(c, p, max(1, cfg.MaxConnections/s.Rings()), s.Place, match))
	}
	return r, nil
}

// start reads until ctx is over.
func (r *packetReader) start(ctx context.Context, host component.Host) {
	if r == nil {
		return
	}
	report := func(err error) {
		if ctx.Err() != nil {
			return
		}
		r.log.Error("capture of packets ended", zap.Error(err))
		componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(fmt.Errorf("capture of packets ended: %w", err)))
	}
	if r.source == nil {
		r.all.Go(func() {
			for _, path := range r.cfg.Files {
				if err := r.file(ctx, path); err != nil && ctx.Err() == nil {
					r.log.Error("capture file not read to its end", zap.Error(err))
					componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
				}
			}
			r.shards[0].flush()
		})
		return
	}
	for i, s := range r.shards {
		r.all.Go(func() {
			if err := r.source.Run(ctx, i, s.put, s.idle); err != nil {
				report(err)
			}
		})
	}
	r.all.Go(func() {
		r.source.Watch(ctx, func(err error) { r.log.Warn("capture of packets", zap.Error(err)) })
	})
}

// missing are the interfaces that were asked for and are not there.
func (r *packetReader) missing() []string {
	if r == nil || r.source == nil {
		return nil
	}
	return r.source.Missing()
}

// file reads one capture, with its own time as the clock.
func (r *packetReader) file(ctx context.Context, path string) error {
	f, err := packet.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := r.shards[0]
	var fr packet.Frame
	for ctx.Err() == nil {
		if err := f.Next(&fr); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read %s: %w", path, err)
		}
		s.idle(fr.Time)
		s.put(&fr)
	}
	return nil
}

// stop waits for the readers, whose context is over, and reports what is open.
func (r *packetReader) stop() error {
	if r == nil {
		return nil
	}
	r.all.Wait()
	for _, s := range r.shards {
		s.flush()
	}
	if r.source == nil {
		return nil
	}
	return r.source.Close()
}

// noSockets stands for kernel.Capture where sockets are not captured.
type noSockets struct{}

func (noSockets) Run(ctx context.Context, _ func([]byte), _ func()) error {
	<-ctx.Done()
	return nil
}
func (noSockets) Mute(uint64)          {}
func (noSockets) Announce(uint64)      {}
func (noSockets) Raise(uint64)         {}
func (noSockets) Burst(uint64)         {}
func (noSockets) Count() error         { return nil }
func (noSockets) Hooks() []kernel.Hook { return nil }
func (noSockets) Stats() kernel.Stats  { return kernel.Stats{} }
func (noSockets) Close() error         { return nil }

var _ capture = noSockets{}
