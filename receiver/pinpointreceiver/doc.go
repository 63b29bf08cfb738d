// Package pinpointreceiver is the `pinpoint` receiver: it takes what Pinpoint
// agents report, from the wire or sent to it, and gives OpenTelemetry spans.
package pinpointreceiver // import "github.com/hopscope/hopscope/receiver/pinpointreceiver"

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
