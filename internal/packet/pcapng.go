package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Block types of pcapng.
const (
	ngSection   = 0x0a0d0d0a
	ngInterface = 1
	ngOldPacket = 2
	ngSimple    = 3
	ngEnhanced  = 6
	ngMagic     = 0x1a2b3c4d
)

// maxInterfaces bounds what one section may declare.
const maxInterfaces = 4096

// ng is the state of reading a pcapng file.
type ng struct {
	big    bool
	order  binary.ByteOrder
	ifaces []ngIface // of the current section
	last   int64     // time of the last packet that had one
}

type ngIface struct {
	link   Link
	snap   uint32
	div    uint64 // ticks per second
	offset int64  // seconds
	fcs    int
}

// time is a time stamp of i in unix nanoseconds.
func (i *ngIface) time(hi, lo uint32) int64 {
	t := uint64(hi)<<32 | uint64(lo)
	sec, frac := t/i.div, t%i.div
	h, l := bits.Mul64(frac, 1e9)
	ns, _ := bits.Div64(h, l, i.div) // frac < div, so the quotient fits
	return (int64(sec)+i.offset)*1e9 + int64(ns)
}

var errBlock = errors.New("pcapng: block is shorter than its contents")

func (f *File) nextNG(fr *Frame) error {
	g := &f.ng
	for {
		head, err := f.in.peek(8)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(head) == ngSection {
			if err := f.section(); err != nil {
				return err
			}
			continue
		}
		if g.order == nil {
			return ErrFormat
		}
		kind, n := g.u32(head), int(g.u32(head[4:]))
		if n < 12 || n%4 != 0 {
			return fmt.Errorf("pcapng: block of %d bytes", n)
		}
		if n > inputBuffer {
			if kind == ngEnhanced || kind == ngSimple || kind == ngOldPacket || kind == ngInterface {
				return fmt.Errorf("pcapng: block of %d bytes, limit %d", n, inputBuffer)
			}
			if err := f.in.skip(n); err != nil {
				return cutShort(err)
			}
			continue
		}
		b, err := f.in.take(n)
		if err != nil {
			return cutShort(err)
		}
		b = b[8 : n-4]
		switch kind {
		case ngInterface:
			err = f.addInterface(b)
		case ngEnhanced, ngOldPacket:
			var ok bool
			if ok, err = f.enhanced(kind, b, fr); ok {
				return nil
			}
		case ngSimple:
			var ok bool
			if ok, err = f.simple(b, fr); ok {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (g *ng) u32(b []byte) uint32 {
	if g.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

// section reads a section header block; interfaces are numbered anew after it.
func (f *File) section() error {
	b, err := f.in.peek(12)
	if err != nil {
		return cutShort(err)
	}
	g := &f.ng
	switch uint32(ngMagic) {
	case binary.LittleEndian.Uint32(b[8:]):
		g.order, g.big = binary.LittleEndian, false
	case binary.BigEndian.Uint32(b[8:]):
		g.order, g.big = binary.BigEndian, true
	default:
		return ErrFormat
	}
	n := int(g.order.Uint32(b[4:]))
	if n < 28 || n%4 != 0 {
		return fmt.Errorf("pcapng: section header of %d bytes", n)
	}
	g.ifaces = g.ifaces[:0]
	return cutShort(f.in.skip(n))
}

func (f *File) addInterface(b []byte) error {
	g := &f.ng
	if len(b) < 8 {
		return errBlock
	}
	if len(g.ifaces) >= maxInterfaces {
		return fmt.Errorf("pcapng: more than %d interfaces", maxInterfaces)
	}
	i := ngIface{link: Link(g.order.Uint16(b)), snap: g.u32(b[4:]), div: 1e6}
	about := Interface{Link: i.link}
	g.options(b[8:], func(code uint16, v []byte) {
		switch {
		case code == 2: // if_name
			about.Name = string(v)
		case code == 9 && len(v) == 1: // if_tsresol
			i.div = resolution(v[0])
		case code == 13 && len(v) == 1: // if_fcslen, in bits
			i.fcs = int(v[0]) / 8
		case code == 14 && len(v) == 8: // if_tsoffset
			i.offset = int64(g.order.Uint64(v))
		}
	})
	n := len(g.ifaces)
	g.ifaces = append(g.ifaces, i)
	if n < len(f.ifaces) {
		f.ifaces[n] = about // a further section: the same numbers again
	} else {
		f.ifaces = append(f.ifaces, about)
	}
	return nil
}

// resolution is if_tsresol in ticks per second.
func resolution(v byte) uint64 {
	e := uint(v & 0x7f)
	if v&0x80 != 0 {
		return 1 << min(e, 63)
	}
	div := uint64(1)
	for range min(e, 19) {
		div *= 10
	}
	return div
}

func (g *ng) options(b []byte, f func(code uint16, v []byte)) {
	for len(b) >= 4 {
		code, n := g.order.Uint16(b), int(g.order.Uint16(b[2:]))
		if code == 0 || 4+n > len(b) {
			return
		}
		f(code, b[4:4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
}

func (f *File) enhanced(kind uint32, b []byte, fr *Frame) (bool, error) {
	g := &f.ng
	if len(b) < 20 {
		return false, errBlock
	}
	n := g.u32(b)
	if kind == ngOldPacket {
		n = uint32(g.order.Uint16(b))
	}
	if int64(n) >= int64(len(g.ifaces)) {
		return false, fmt.Errorf("pcapng: packet of interface %d, which is not declared", n)
	}
	i := &g.ifaces[n]
	size, wire := g.u32(b[12:]), g.u32(b[16:])
	if int64(size) > int64(len(b)-20) {
		return false, errBlock
	}
	*fr = Frame{Time: i.time(g.u32(b[4:]), g.u32(b[8:])), Iface: n, Link: i.link, Data: b[20 : 20+size]}
	g.last = fr.Time
	fr.trim(i, wire)
	// The only option of a packet that matters is its flags, which come first
	// where they are.
	if o := b[20+(int(size)+3)&^3:]; len(o) >= 8 && kind == ngEnhanced && g.order.Uint16(o) == 2 && g.order.Uint16(o[2:]) == 4 {
		switch g.u32(o[4:]) & 3 {
		case 1:
			fr.Way = WayIn
		case 2:
			fr.Way = WayOut
		}
	}
	return true, nil
}

func (f *File) simple(b []byte, fr *Frame) (bool, error) {
	g := &f.ng
	if len(b) < 4 {
		return false, errBlock
	}
	if len(g.ifaces) == 0 {
		return false, errors.New("pcapng: packet without an interface")
	}
	i := &g.ifaces[0]
	wire := g.u32(b)
	size := min(wire, uint32(len(b)-4))
	if i.snap > 0 {
		size = min(size, i.snap)
	}
	*fr = Frame{Time: g.last, Link: i.link, Data: b[4 : 4+size]}
	fr.trim(i, wire)
	return true, nil
}

func (fr *Frame) trim(i *ngIface, wire uint32) {
	fr.Wire = max(wire, uint32(len(fr.Data)))
	if i.fcs > 0 && int(fr.Wire) == len(fr.Data) && len(fr.Data) > i.fcs {
		fr.Data = fr.Data[:len(fr.Data)-i.fcs]
		fr.Wire -= uint32(i.fcs)
	}
}
