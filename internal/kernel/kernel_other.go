//go:build !linux

package kernel

import "context"

// Capture is a running capture; there is none here.
type Capture struct{}

// Start says that there is none.
func Start(Config) (*Capture, error) { return nil, ErrUnsupported }

// Run returns at once.
func (*Capture) Run(context.Context, func(raw []byte), func()) error { return ErrUnsupported }

// Mute does nothing.
func (*Capture) Mute(uint64) {}

// Announce does nothing.
func (*Capture) Announce(uint64) {}

// Burst does nothing.
func (*Capture) Burst(uint64) {}

// Raise does nothing.
func (*Capture) Raise(uint64) {}

// Count does nothing.
func (*Capture) Count() error { return nil }

// Hooks is empty.
func (*Capture) Hooks() []Hook { return nil }

// Stats is empty.
func (*Capture) Stats() Stats { return Stats{} }

// Close does nothing.
func (*Capture) Close() error { return nil }
