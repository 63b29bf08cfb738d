package packet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
)

// MaxFrame bounds one record of a capture file. libpcap's own bound is 256 KiB
// (1 MiB for some links); more is damage.
const MaxFrame = 1 << 20

// ErrFormat: the file is no capture that we read.
var ErrFormat = errors.New("packet: not a pcap or pcapng file")

// File reads a capture file, pcap or pcapng, compressed or not, in one pass
// and constant memory.
type File struct {
	// Name is the base name of the file.
	Name   string
	in     input
	closer io.Closer
	next   func(*Frame) error
	ifaces []Interface
	ng     ng
	pcap   pcap
}

// Open opens the capture file at path; "-" is standard input.
func Open(path string) (*File, error) {
	if path == "-" {
		return NewFile(os.Stdin, "stdin")
	}
	h, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := NewFile(h, filepath.Base(path))
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f.closer = h
	return f, nil
}

// NewFile reads a capture from r.
func NewFile(r io.Reader, name string) (*File, error) {
	f := &File{Name: name, in: input{r: r, buf: make([]byte, inputBuffer)}}
	head, err := f.in.peek(4)
	if err == nil && head[0] == 0x1f && head[1] == 0x8b {
		packed := f.in
		z, err := gzip.NewReader(bufio.NewReaderSize(&rest{&packed}, inputBuffer))
		if err != nil {
			return nil, fmt.Errorf("open gzip: %w", err)
		}
		z.Multistream(true)
		f.in = input{r: z, buf: make([]byte, inputBuffer)}
		head, err = f.in.peek(4)
		if err != nil {
			return nil, ErrFormat
		}
	} else if err != nil {
		return nil, ErrFormat
	}
	if binary.LittleEndian.Uint32(head) == ngSection {
		f.next = f.nextNG
		return f, nil
	}
	if err := f.openPcap(); err != nil {
		return nil, err
	}
	f.next = f.nextPcap
	return f, nil
}

// Next reads the next frame; its data is valid until the next call. At the end
// it returns io.EOF; io.ErrUnexpectedEOF if the file is cut inside a record.
func (f *File) Next(fr *Frame) error { return f.next(fr) }

// Interface tells about interface i of the frames read so far.
func (f *File) Interface(i uint32) Interface {
	if int(i) < len(f.ifaces) {
		return f.ifaces[i]
	}
	return Interface{}
}

// Close closes the file.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

const (
	// inputBuffer must hold one record.
	inputBuffer = MaxFrame + 64<<10
	// readAtOnce is small enough for what was read to still be in the CPU's cache
	// when it is decoded.
	readAtOnce = 128 << 10
)

// input hands out contiguous bytes of a stream without copying them twice.
type input struct {
	r    io.Reader
	buf  []byte
	i, n int
	err  error
}

// peek returns the next n bytes, n <= inputBuffer, without consuming them.
// io.EOF: there are none; io.ErrUnexpectedEOF: there are fewer.
func (in *input) peek(n int) ([]byte, error) {
	if in.n-in.i >= n {
		return in.buf[in.i : in.i+n], nil
	}
	copy(in.buf, in.buf[in.i:in.n])
	in.n -= in.i
	in.i = 0
	for empty := 0; in.n < n && in.err == nil; {
		k, err := in.r.Read(in.buf[in.n:min(len(in.buf), in.n+readAtOnce)])
		in.n += k
		in.err = err
		if k > 0 {
			empty = 0
		} else if empty++; empty > 100 {
			in.err = io.ErrNoProgress
		}
	}
	if in.n >= n {
		return in.buf[:n], nil
	}
	switch {
	case in.err != io.EOF:
		return nil, in.err
	case in.n == 0:
		return nil, io.EOF
	}
	return nil, io.ErrUnexpectedEOF
}

func (in *input) advance(n int) { in.i += n }

// take is peek and advance.
func (in *input) take(n int) ([]byte, error) {
	b, err := in.peek(n)
	if err == nil {
		in.i += n
	}
	return b, err
}

// skip discards n bytes.
func (in *input) skip(n int) error {
	for n > 0 {
		k := min(n, len(in.buf))
		if have := in.n - in.i; have > 0 {
			k = min(k, have)
		}
		if _, err := in.take(k); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// rest reads on from an input.
type rest struct{ in *input }

func (r *rest) Read(p []byte) (int, error) {
	if r.in.i < r.in.n {
		n := copy(p, r.in.buf[r.in.i:r.in.n])
		r.in.i += n
		return n, nil
	}
	if r.in.err != nil {
		return 0, r.in.err
	}
	return r.in.r.Read(p)
}
