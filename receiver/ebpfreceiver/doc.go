// Package ebpfreceiver is the `ebpf` receiver: it wires capture, reading,
// linking and span making, and owns their goroutines.
package ebpfreceiver // import "github.com/hopscope/hopscope/receiver/ebpfreceiver"

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
