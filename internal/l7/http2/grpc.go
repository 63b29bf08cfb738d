package http2

import (
	"strings"
	"unsafe"

	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
)

// codes are gRPC's: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
var codes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

const (
	grpcCancelled     = 1
	grpcUnknown       = 2
	grpcDenied        = 7
	grpcExhausted     = 8
	grpcUnimplemented = 12
	grpcInternal      = 13
	grpcUnavailable   = 14
	grpcNoIdentity    = 16

	// maxGRPCStatus bounds codes that nobody defined.
	maxGRPCStatus = 1<<31 - 1
	// maxMessage bounds grpc-message.
	maxMessage = 512
)

// clientFault are the codes that say that the caller made a mistake.
const clientFault = 1<<1 | 1<<3 | 1<<5 | 1<<6 | 1<<7 | 1<<9 | 1<<11 | 1<<16

func grpcClass(code int) l7.Status {
	switch {
	case code == 0:
		return l7.StatusOK
	case code < len(codes) && clientFault>>code&1 != 0:
		return l7.StatusClientError
	}
	return l7.StatusServerError
}

// grpcStatus writes the status of a call: its name, as the convention wants it,
// and its number, as the older one did.
func (p *parser) grpcStatus(code int, m *l7.Message) {
	if code < len(codes) {
		m.Code = codes[code]
	} else {
		m.Code = m.Text.Uint(uint64(code))
	}
	m.Status = grpcClass(code)
	m.AddInt("rpc.grpc.status_code", int64(code))
}

// grpcOfHTTP is what a gRPC client makes of an answer that is none:
// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
func grpcOfHTTP(code int) int {
	switch code {
	case 400:
		return grpcInternal
	case 401:
		return grpcNoIdentity
	case 403:
		return grpcDenied
	case 404:
		return grpcUnimplemented
	case 429, 502, 503, 504:
		return grpcUnavailable
	}
	return grpcUnknown
}

// grpcOfReset is what gRPC makes of HTTP/2's error codes (PROTOCOL-HTTP2.md,
// "Errors").
func grpcOfReset(code h2.ErrorCode) int {
	switch code {
	case h2.Cancel:
		return grpcCancelled
	case h2.RefusedStream, h2.NoError: // NO_ERROR: of a GOAWAY
		return grpcUnavailable
	case h2.EnhanceYourCalm:
		return grpcExhausted
	case h2.InadequateSecure:
		return grpcDenied
	}
	return grpcInternal
}

// isGRPC: application/grpc, application/grpc+proto, application/grpc;charset=...
// but not application/grpc-web, whose status lies in the body.
func isGRPC(contentType string) bool {
	const want = "application/grpc"
	if !strings.HasPrefix(contentType, want) {
		return false
	}
	rest := contentType[len(want):]
	return rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// timeout is a deadline in milliseconds: grpc-timeout is digits and a unit,
// Triple's is in milliseconds.
func timeout(name, v string) (ms int64, ok bool) {
	if v == "" || len(v) > 11 {
		return 0, false
	}
	if name == "tri-service-timeout" {
		return number(v)
	}
	n, ok := number(v[:len(v)-1])
	switch v[len(v)-1] {
	case 'H':
		return n * 3600e3, ok
	case 'M':
		return n * 60e3, ok
	case 'S':
		return n * 1e3, ok
	case 'm':
		return n, ok
	case 'u':
		return (n + 999) / 1e3, ok
	case 'n':
		return (n + 999999) / 1e6, ok
	}
	return 0, false
}

// number reads decimal digits.
func number(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

func decimalText(m *l7.Message, n uint32) string {
	return m.Text.Uint(uint64(n))
}

// unescape decodes the percent-encoding of grpc-message; what is no encoding
// stays as it is.
func unescape(dst []byte, s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			h, l := unhex(s[i+1]), unhex(s[i+2])
			if h < 16 && l < 16 {
				c = h<<4 | l
				i += 2
			}
		}
		dst[n] = c
		n++
	}
	return n
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// bytesOf is s as bytes that nobody may write to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
