package event

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A recording is magic, then records as the ring had them, in kernel order,
// each with its own length in its head. All numbers are little endian.
var magic = [8]byte{'h', 'o', 'p', 's', 'c', 'o', 'p', 'e'}

// RecordingVersion goes up when the layout of records changes; older ones are
// refused, not guessed at.
const RecordingVersion = 1

const recordingHead = 16 // magic, version, reserved

// ErrNotRecording: the bytes are something else.
var ErrNotRecording = errors.New("event: not a recording")

// DefaultMaxRecording bounds a recording file: minutes of a busy host, and
// small enough for a bug report.
const DefaultMaxRecording = 256 << 20

// Writer writes a recording. It stops, and says so, when the next record would
// pass its limit: a recording is a prefix of what happened, without holes.
type Writer struct {
	w       *bufio.Writer
	left    int64
	records uint64
	cut     uint64
	err     error
}

// NewWriter begins a recording of at most max bytes (0: DefaultMaxRecording).
func NewWriter(w io.Writer, max int64) (*Writer, error) {
	if max == 0 {
		max = DefaultMaxRecording
	}
	if max < recordingHead {
		return nil, fmt.Errorf("event: recording limit of %d bytes holds no record", max)
	}
	b := bufio.NewWriterSize(w, 64<<10)
	var h [recordingHead]byte
	copy(h[:], magic[:])
	binary.LittleEndian.PutUint32(h[8:], RecordingVersion)
	if _, err := b.Write(h[:]); err != nil {
		return nil, fmt.Errorf("event: begin recording: %w", err)
	}
	return &Writer{w: b, left: max - recordingHead}, nil
}

// Put writes one raw record; full is true from the first that had no room on.
func (w *Writer) Put(raw []byte) (full bool, err error) {
	if w.err != nil {
		return true, w.err
	}
	if w.cut > 0 || int64(len(raw)) > w.left {
		w.cut++
		return true, nil
	}
	if _, err := w.w.Write(raw); err != nil {
		w.err = fmt.Errorf("event: write recording: %w", err)
		return true, w.err
	}
	w.left -= int64(len(raw))
	w.records++
	return false, nil
}

// Counts is how many records were written, and how many the limit cut off.
func (w *Writer) Counts() (written, cut uint64) { return w.records, w.cut }

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if err := w.w.Flush(); err != nil {
		w.err = fmt.Errorf("event: write recording: %w", err)
	}
	return w.err
}

// Reader reads a recording.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader checks that r begins as a recording that this version reads.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	var h [recordingHead]byte
	if _, err := io.ReadFull(b, h[:]); err != nil || !bytes.Equal(h[:8], magic[:]) {
		return nil, ErrNotRecording
	}
	if v := binary.LittleEndian.Uint32(h[8:]); v != RecordingVersion {
		return nil, fmt.Errorf("event: recording of version %d, this build reads version %d", v, RecordingVersion)
	}
	return &Reader{r: b}, nil
}

// Next is the next raw record, borrowed until the next call; io.EOF at the end,
// io.ErrUnexpectedEOF if the recording was cut inside a record.
func (r *Reader) Next() ([]byte, error) {
	h, err := r.r.Peek(HeadSize)
	if len(h) == 0 && err != nil {
		return nil, err
	}
	if len(h) < HeadSize {
		return nil, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(h[24:])
	if n < uint32(HeadSize) || n > MaxRecord {
		return nil, fmt.Errorf("event: recording is damaged: record of %d bytes", n)
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]byte, n)
	}
	b := r.buf[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

// IsRecording reports whether a file that begins with head is a recording.
func IsRecording(head []byte) bool { return len(head) >= 8 && bytes.Equal(head[:8], magic[:]) }
