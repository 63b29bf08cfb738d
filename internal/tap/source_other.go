//go:build !linux

package tap

import (
	"context"

	"github.com/hopscope/hopscope/internal/packet"
)

// Source captures on interfaces, on Linux.
type Source struct{ Stats Stats }

// Open says that there is nothing to open.
func Open(Config) (*Source, error) { return nil, ErrUnsupported }

// Missing is nothing.
func (*Source) Missing() []string { return nil }

// Rings is 0.
func (*Source) Rings() int { return 0 }

// Run ends at once.
func (*Source) Run(context.Context, int, func(*packet.Frame), func(int64)) error {
	return ErrUnsupported
}

// Match lets nothing pass.
func (*Source) Match(*packet.Segment) bool { return false }

// Watch ends at once.
func (*Source) Watch(context.Context, func(error)) {}

// Close does nothing.
func (*Source) Close() error { return nil }

func (*Source) iface(uint32, uint32) (iface, bool) { return iface{}, false }
