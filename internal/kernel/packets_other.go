//go:build !linux

package kernel

import (
	"context"

	"golang.org/x/net/bpf"
)

// Packets is capture on interfaces; there is none here.
type Packets struct{}

// OpenPackets says that there is none.
func OpenPackets(PacketsConfig) (*Packets, error) { return nil, ErrUnsupported }

// Filter does nothing.
func (*Packets) Filter([]bpf.Instruction) error { return ErrUnsupported }

// Attach does nothing.
func (*Packets) Attach(int, IfaceHead) error { return ErrUnsupported }

// Detach does nothing.
func (*Packets) Detach(int) error { return nil }

// Run returns at once.
func (*Packets) Run(context.Context, func(*Packet, int64, []byte), func(int64)) error {
	return ErrUnsupported
}

// Counts is zero.
func (*Packets) Counts() (kept, dropped uint64) { return 0, 0 }

// Close does nothing.
func (*Packets) Close() error { return nil }
