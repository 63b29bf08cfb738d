package session

import "bytes"

// The PROXY protocol (HAProxy's proxy-protocol.txt): what a load balancer says
// of the client before the first byte of what the client speaks, as a line
// (version 1) or in binary (version 2).
var (
	proxyLine   = []byte("PROXY ")
	proxyBinary = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

const (
	maxProxyLine = 107 // with its line end, says the document
	proxyHead    = 16  // of version 2, before addresses and options
)

// preface is the length of the PROXY header at the front of b, the first bytes
// of a connection: 0 if there is none. more: b may be the beginning of one.
func preface(b []byte) (n int, more bool) {
	switch {
	case len(b) == 0:
		return 0, false
	case b[0] == proxyLine[0]:
		if k := min(len(b), len(proxyLine)); !bytes.Equal(b[:k], proxyLine[:k]) {
			return 0, false
		}
		if n = bytes.IndexByte(b[:min(len(b), maxProxyLine)], '\n') + 1; n > 0 {
			return n, false
		}
		return 0, len(b) < maxProxyLine
	case b[0] == proxyBinary[0]:
		if k := min(len(b), len(proxyBinary)); !bytes.Equal(b[:k], proxyBinary[:k]) {
			return 0, false
		}
		if len(b) >= proxyHead {
			n = proxyHead + int(b[14])<<8 + int(b[15])
		}
		if n > 0 && n <= len(b) {
			return n, false
		}
		return 0, n <= detectWindow
	}
	return 0, false
}
