//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package tracecompletionprocessor joins the hops of an exchange, the exchanges
// of a request and the spans of applications into one trace.
package tracecompletionprocessor
