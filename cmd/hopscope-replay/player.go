package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/cause"
	"github.com/hopscope/hopscope/internal/event"
	"github.com/hopscope/hopscope/internal/flow"
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/protocols"
	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/span"
	"github.com/hopscope/hopscope/internal/stream"
)

// tickEvery is how often, in the capture's own time, time-outs are looked at.
const tickEvery = 50e6

// sessionTickEvery: the engine's time-outs are in seconds, and looking at them
// costs as much as there are connections.
const sessionTickEvery = 1e9

// player is stages 2 to 6, with the time of what it plays as the clock.
type player struct {
	out     *bufio.Writer
	err     error
	warn    []error // what was read is not the whole
	file    *packet.File
	decoder packet.Decoder
	seg     packet.Segment
	take    func(*session.Exchange)
	asm     *stream.Assembler
	table   *stream.Table
	engine  *session.Engine
	echoes  *session.Echoes
	builder *span.Builder
	tracker *cause.Tracker // nil: exchanges are shown as they are
	shown   *tableWriter
	point   hop.Point
	now     int64
	ticked  int64
	marshal ptrace.JSONMarshaler
	flows   *flow.Tracker
	logs    *flow.Logs
	plugins *pluginRun // nil: there are none

	frames, bytes, exchanges, spans uint64
}

func newPlayer(o options, stdout, stderr io.Writer) (*player, error) {
	p := &player{out: bufio.NewWriterSize(stdout, 64<<10)}
	var ok bool
	if p.point, ok = hop.Parse(o.point); !ok {
		return nil, fmt.Errorf("no such capture point: %q", o.point)
	}
	list, err := chosen(o.only)
	if err != nil {
		return nil, err
	}
	var spans func(ptrace.Traces, int)
	switch o.format {
	case "otlp":
		spans = p.batch
	case "table":
		if len(o.plugins.paths) > 0 {
			break // what plugins change is the table
		}
		p.shown = newTableWriter(p.out)
		p.take = p.shown.put
	case "none":
		spans = func(_ ptrace.Traces, n int) { p.spans += uint64(n) }
	default:
		return nil, fmt.Errorf("no such format: %q", o.format)
	}
	cfg := session.Config{Protocols: list, Timeout: o.timeout, Identified: func(c *stream.Conn, _ *l7.Protocol) { p.asm.Settle(c) }}
	if len(o.plugins.paths) > 0 {
		if p.plugins, err = newPluginRun(o.plugins, p.out, stderr, spans); err != nil {
			return nil, err
		}
		p.plugins.show()
		spans = p.plugins.put
		cfg.Payload = o.plugins.payload
		cfg.Unparsed = p.plugins.unparsed(func(x *session.Exchange) { p.take(x) })
	}
	var table stream.TableConfig
	if p.take == nil {
		p.builder = span.New(span.Config{Version: "replay", Payload: cfg.Payload > 0, Lend: p.plugins == nil}, spans)
		p.link()
		cfg.Began, cfg.Answered = p.tracker.Began, p.tracker.Answered
		table.Connecting, table.Handover = p.tracker.Connecting, p.tracker.Handover
	}
	p.engine = session.New(cfg, func(x *session.Exchange) {
		p.exchanges++
		if p.flows != nil && x.Resp.Msg.Status == l7.StatusOK {
			p.flows.Answered(x.Conn)
		}
		p.take(x)
	})
	p.echoes = session.NewEchoes(func(x *session.Exchange) {
		p.exchanges++
		p.take(x)
	})
	assembling := stream.AssemblerConfig{Place: p.place, Echo: func(c *stream.Conn, reply bool, s *packet.Segment) {
		p.echoes.Put(c, reply, uint16(s.Seq), s.Len+8, s.Time) // with the ICMP header
	}}
	if o.flows {
		p.flowLogs(&assembling)
	}
	p.asm = stream.NewAssembler(assembling, p.engine.Put)
	table.Lost = p.engine.Lost
	p.table = stream.NewTable(table, p.engine.Put)
	return p, nil
}

// link has exchanges linked as the receiver does.
func (p *player) link() {
	p.tracker = cause.New(cause.Config{Recycle: func(x *session.Exchange) { p.engine.Recycle(x) }}, p.builder.Put)
	p.take = p.tracker.Put
}

// chosen are the protocols named, or all.
func chosen(only string) ([]*l7.Protocol, error) {
	all := protocols.All()
	names := split(only)
	if len(names) == 0 {
		return all, nil
	}
	var list []*l7.Protocol
	for _, n := range names {
		found := false
		for _, p := range all {
			if p.Name == n {
				list, found = append(list, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no such protocol: %q", n)
		}
	}
	return list, nil
}

func (p *player) place(iface, sub uint32, _ packet.Way) (hop.Point, string) {
	name := ""
	if p.file != nil {
		name = p.file.Interface(iface).Name
	}
	if sub != 0 && name == "" {
		name = fmt.Sprintf("if%d", sub)
	}
	return p.point, name
}

// play reads one file to its end.
func (p *player) play(path string) error {
	if path != "-" {
		h, err := os.Open(path)
		if err != nil {
			return err
		}
		defer h.Close()
		var head [8]byte
		if _, err := io.ReadFull(h, head[:]); err == nil && event.IsRecording(head[:]) {
			if _, err := h.Seek(0, io.SeekStart); err != nil {
				return fmt.Errorf("rewind %s: %w", path, err)
			}
			return p.recording(path, h)
		}
	}
	f, err := packet.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p.file = f
	var fr packet.Frame
	for p.err == nil {
		if err := f.Next(&fr); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			err = fmt.Errorf("read %s after %d frames: %w", path, p.frames, err)
			if errors.Is(err, io.ErrUnexpectedEOF) { // whoever wrote it was stopped
				p.warn = append(p.warn, err)
				return p.err
			}
			return err
		}
		p.frame(&fr)
	}
	return p.err
}

// frame takes one frame through the stages.
func (p *player) frame(fr *packet.Frame) {
	p.frames++
	p.bytes += uint64(len(fr.Data))
	p.tick(fr.Time)
	if p.decoder.Decode(fr, &p.seg) == packet.OK {
		p.asm.Put(&p.seg)
	}
}

func (p *player) tick(now int64) {
	if now-p.now < tickEvery {
		return
	}
	p.now = now
	p.asm.Tick(now)
	if now-p.ticked >= sessionTickEvery {
		p.ticked = now
		p.engine.Tick(now)
		if p.flows != nil {
			p.flows.Tick(now)
		}
	}
}

// flowLogs has the records of all flows printed, as OTLP JSON.
func (p *player) flowLogs(cfg *stream.AssemblerConfig) {
	var m plog.JSONMarshaler
	p.logs = flow.NewLogs("replay", "", "", func(l plog.Logs, _ int) {
		b, err := m.MarshalLogs(l)
		if err == nil {
			_, err = p.out.Write(append(b, '\n'))
		}
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("write flow records: %w", err)
		}
	})
	p.flows = flow.New(flow.Config{}, p.logs.Put)
	cfg.Observe, cfg.Closed = p.flows.Observe, p.flows.Closed
}

func (p *player) recording(path string, h io.Reader) error {
	r, err := event.NewReader(h)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	var e event.Event
	for n := 0; p.err == nil; n++ {
		raw, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s after %d records: %w", path, n, err)
		}
		if event.Decode(raw, &e) != nil {
			continue // of a kind that this build does not know
		}
		p.frames++
		p.bytes += uint64(len(raw))
		switch e.Kind {
		case event.KindExec, event.KindExit:
			if p.tracker != nil {
				p.tracker.Exited(e.Pid)
			}
		default:
			p.table.Put(&e)
		}
		if now := p.table.Unix(e.Time); now-p.ticked >= sessionTickEvery {
			p.ticked = now
			p.table.Tick()
			p.engine.Tick(now)
			if p.tracker != nil {
				p.tracker.Tick(now)
			}
		}
	}
	return p.err
}

// flush ends everything that is open.
func (p *player) flush() error {
	p.asm.Flush()
	p.table.Flush()
	p.engine.Flush()
	p.echoes.Flush()
	if p.tracker != nil {
		p.tracker.Flush()
	}
	if p.builder != nil {
		p.builder.Flush()
	}
	if p.logs != nil {
		p.logs.Flush()
	}
	if err := p.out.Flush(); p.err == nil && err != nil {
		p.err = fmt.Errorf("write: %w", err)
	}
	return p.err
}

// batch writes spans as one line of OTLP JSON.
func (p *player) batch(td ptrace.Traces, n int) {
	p.spans += uint64(n)
	b, err := p.marshal.MarshalTraces(td)
	if err == nil {
		_, err = p.out.Write(append(b, '\n'))
	}
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("write spans: %w", err)
	}
}
