package inplace

import (
	"testing"

	"go.opentelemetry.io/collector/featuregate"
)

// TestUse: the pdata that we are built with has the layout that this rests on.
func TestUse(t *testing.T) {
	if _, ok := Use(); !ok {
		t.Fatal("pdata can't be written in place: its layout has changed")
	}
}

// TestPooling: where pdata uses values again, none may be shared.
func TestPooling(t *testing.T) {
	if err := featuregate.GlobalRegistry().Set(PoolingGate, true); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := featuregate.GlobalRegistry().Set(PoolingGate, false); err != nil {
			t.Fatal(err)
		}
	}()
	if _, ok := Use(); ok {
		t.Error("pdata is written in place")
	}
}
