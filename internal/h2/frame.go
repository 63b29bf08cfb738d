// Package h2 reads HTTP/2 as it is seen on the wire by somebody who is not one
// of its ends: frames, header blocks with what can be known of their dynamic
// tables, and the next frame after a hole. It serves the protocol parser and
// the Pinpoint sniffer.
//
// Promise: a header that the dynamic table cannot tell is reported as unknown,
// never guessed; and what one end sends to harm a reader is bounded by the
// limits named here.
package h2

// FrameType is the type of a frame (RFC 9113 section 6).
type FrameType uint8

// Frame types. Others exist and are skipped.
const (
	Data           FrameType = 0
	Headers        FrameType = 1
	Priority       FrameType = 2
	RSTStream      FrameType = 3
	Settings       FrameType = 4
	PushPromise    FrameType = 5
	Ping           FrameType = 6
	GoAway         FrameType = 7
	WindowUpdate   FrameType = 8
	Continuation   FrameType = 9
	AltSvc         FrameType = 0x0a // RFC 7838
	Origin         FrameType = 0x0c // RFC 8336
	PriorityUpdate FrameType = 0x10 // RFC 9218
)

// Flags; what a bit means depends on the type.
const (
	FlagEndStream  = 0x01
	FlagAck        = 0x01
	FlagEndHeaders = 0x04
	FlagPadded     = 0x08
	FlagPriority   = 0x20
)

// HeaderLen is the length of a frame's header.
const HeaderLen = 9

// Preface is what a client sends first.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxControl bounds frames that are not DATA. The default of
// SETTINGS_MAX_FRAME_SIZE is 16 KiB, and gRPC's C core, which raises it to
// 4 MiB, uses that for DATA: a longer one is a place that is none.
const maxControl = 1 << 20

// Frame is the header of a frame.
type Frame struct {
	Length int
	Type   FrameType
	Flags  uint8
	Stream uint32
}

// Parse reads the header of a frame from b, which has at least HeaderLen bytes.
func Parse(b []byte) Frame {
	_ = b[8]
	return Frame{
		Length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		Type:   FrameType(b[3]), Flags: b[4],
		Stream: (uint32(b[5])<<24 | uint32(b[6])<<16 | uint32(b[7])<<8 | uint32(b[8])) & (1<<31 - 1),
	}
}

// Size is the frame's length with its header.
func (f Frame) Size() int { return HeaderLen + f.Length }

// EndStream reports whether the sender sends nothing more on the stream.
func (f Frame) EndStream() bool {
	return f.Flags&FlagEndStream != 0 && (f.Type == Data || f.Type == Headers)
}

// Valid reports whether f may stand on a connection: the rules of RFC 9113
// whose breach is a connection error.
func (f Frame) Valid() bool {
	if f.Type != Data && f.Length > maxControl {
		return false
	}
	switch f.Type {
	case Data, Headers, Continuation:
		return f.Stream != 0
	case Priority:
		return f.Stream != 0 && f.Length == 5
	case RSTStream:
		return f.Stream != 0 && f.Length == 4
	case Settings:
		return f.Stream == 0 && f.Length%6 == 0 && (f.Flags&FlagAck == 0 || f.Length == 0)
	case PushPromise:
		return f.Stream != 0 && f.Length >= 4
	case Ping:
		return f.Stream == 0 && f.Length == 8
	case GoAway:
		return f.Stream == 0 && f.Length >= 8
	case WindowUpdate:
		return f.Length == 4
	}
	return true
}

// knownFlags are the flags that a type may have.
var knownFlags = [...]uint8{
	Data:         FlagEndStream | FlagPadded,
	Headers:      FlagEndStream | FlagEndHeaders | FlagPadded | FlagPriority,
	Priority:     0,
	RSTStream:    0,
	Settings:     FlagAck,
	PushPromise:  FlagEndHeaders | FlagPadded,
	Ping:         FlagAck,
	GoAway:       0,
	WindowUpdate: 0,
	Continuation: FlagEndHeaders,
}

// Plausible is Valid for somebody who looks for a frame among other bytes: what
// a careful sender would not send is refused too. head is the header.
func Plausible(head []byte) bool {
	f := Parse(head)
	if head[5]&0x80 != 0 || !f.Valid() {
		return false
	}
	if int(f.Type) >= len(knownFlags) {
		return (f.Type == AltSvc || f.Type == Origin || f.Type == PriorityUpdate) && f.Flags == 0 && f.Length > 0 && f.Length < 4096
	}
	if f.Flags&^knownFlags[f.Type] != 0 || f.Stream > maxStreamSync || f.Length > maxFrameSync {
		return false
	}
	// Pushed streams, which have even numbers, are as good as extinct, and zeros
	// before a number look much like an empty DATA frame.
	if f.Stream != 0 && f.Stream&1 == 0 {
		return false
	}
	switch f.Type {
	case Data:
		return f.Length > 0 || f.Flags == FlagEndStream
	case Headers, Continuation, PushPromise:
		return f.Length > 0 && f.Length <= 1<<16
	case Settings:
		return f.Length <= 6*32
	case GoAway:
		return f.Length <= 1<<12
	}
	return true
}

// What is believed while looking for a frame: stream numbers grow by two per
// request, and C core's DATA frames are the longest in use (4 MiB).
const (
	maxStreamSync = 1 << 28
	maxFrameSync  = 1<<22 + 1<<14
)

// Payload takes padding and priority off b, the payload of f (or what there is
// of it). ok is false when the frame contradicts itself.
func (f Frame) Payload(b []byte) (data []byte, ok bool) {
	pad := 0
	left := f.Length
	if f.Flags&FlagPadded != 0 && (f.Type == Data || f.Type == Headers || f.Type == PushPromise) {
		if len(b) == 0 {
			return nil, f.Length > 0
		}
		pad = int(b[0])
		b, left = b[1:], left-1
	}
	if f.Type == Headers && f.Flags&FlagPriority != 0 {
		k := min(5, len(b))
		b, left = b[k:], left-5
	}
	if left -= pad; left < 0 {
		return nil, false
	}
	return b[:min(len(b), left)], true
}

// ErrorCode is why a stream or a connection was given up (RFC 9113 section 7).
type ErrorCode uint32

// Error codes that are told apart.
const (
	NoError          ErrorCode = 0x0
	RefusedStream    ErrorCode = 0x7
	Cancel           ErrorCode = 0x8
	EnhanceYourCalm  ErrorCode = 0xb
	InadequateSecure ErrorCode = 0xc
)

var errorNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c ErrorCode) String() string {
	if int(c) < len(errorNames) {
		return errorNames[c]
	}
	return "UNKNOWN_ERROR"
}

// U32 reads the four bytes at the front of b, 0 if there are fewer.
func U32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
