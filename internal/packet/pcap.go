package packet

import (
	"encoding/binary"
	"fmt"
)

// Magic numbers of pcap files, as read in the byte order of the file.
const (
	pcapMicro    = 0xa1b2c3d4
	pcapNano     = 0xa1b23c4d
	pcapModified = 0xa1b2cd34 // A. Kuznetzov's libpcap: 8 bytes more per record
)

// pcap is the state of reading a pcap file.
type pcap struct {
	order  binary.ByteOrder
	big    bool
	nano   bool
	header int // length of a record's header
	link   Link
	fcs    int // bytes of frame check sequence at the end of each frame
}

func (f *File) openPcap() error {
	head, err := f.in.take(24)
	if err != nil {
		return ErrFormat
	}
	p := &f.pcap
	p.header = 16
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch o.Uint32(head) {
		case pcapMicro:
		case pcapNano:
			p.nano = true
		case pcapModified:
			p.header = 24
		default:
			continue
		}
		p.order = o
		p.big = o == binary.ByteOrder(binary.BigEndian)
		link := o.Uint32(head[20:])
		p.link = Link(link & 0xffff)
		if link&0x04000000 != 0 {
			p.fcs = int(link >> 28)
		}
		f.ifaces = []Interface{{Link: p.link}}
		return nil
	}
	return ErrFormat
}

func (p *pcap) u32(b []byte) uint32 {
	if p.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (f *File) nextPcap(fr *Frame) error {
	p := &f.pcap
	head, err := f.in.peek(p.header)
	if err != nil {
		return err
	}
	sec, sub := p.u32(head), p.u32(head[4:])
	n, wire := p.u32(head[8:]), p.u32(head[12:])
	if n > MaxFrame {
		return fmt.Errorf("pcap: record of %d bytes, limit %d", n, MaxFrame)
	}
	size := p.header + int(n)
	// Nearly always the whole record is there: asking for it costs as much as
	// reading its header.
	b := f.in.buf[f.in.i:f.in.n]
	if len(b) < size {
		if b, err = f.in.peek(size); err != nil {
			return cutShort(err)
		}
	}
	b = b[p.header:size]
	f.in.advance(size)
	t := int64(sec) * 1e9
	if p.nano {
		t += int64(sub)
	} else {
		t += int64(sub) * 1e3
	}
	if k := p.fcs; k > 0 && n == wire && len(b) > k {
		b, wire = b[:len(b)-k], wire-uint32(k)
	}
	*fr = Frame{}
	fr.Time, fr.Link, fr.Wire, fr.Data = t, p.link, max(wire, uint32(len(b))), b
	return nil
}
