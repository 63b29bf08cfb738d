package table

import (
	"testing"
	"unsafe"
)

// TestNodeSize: a field put where it needs padding costs every span that is held.
func TestNodeSize(t *testing.T) {
	if got := unsafe.Sizeof(Node{}); got > 192 {
		t.Errorf("a node is %d bytes", got)
	}
}
