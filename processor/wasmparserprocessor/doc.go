//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package wasmparserprocessor lets WebAssembly plugins read exchanges: what was
// asked and answered, in the business's own terms.
package wasmparserprocessor
