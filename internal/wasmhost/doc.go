// Package wasmhost runs WebAssembly plugins that read sessions: it loads a
// module, bounds its time and memory, serves what it imports, and reads what it
// answers. It knows two sets of imports: those of DeepFlow's plugins, which run
// unchanged, and our own, `hopscope`.
//
// What comes from a guest is never trusted: each pointer is checked against its
// memory, each result parsed strictly and bounded, and a call that fails leaves
// nothing behind.
package wasmhost
