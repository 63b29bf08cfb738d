package http2

import (
	"github.com/hopscope/hopscope/internal/h2"
	"github.com/hopscope/hopscope/internal/l7"
)

// minPreface is from how many bytes on the preface is believed: "PRI * HTTP/2.0".
const minPreface = 14

// detect implements Protocol.Detect: the client's preface, the server's
// settings, or, on a connection that is older than we are, frames of which one
// says whose they are.
func detect(head []byte) l7.Verdict {
	if len(head) == 0 {
		return l7.No
	}
	if head[0] == h2.Preface[0] {
		k := min(len(head), len(h2.Preface))
		switch {
		case l7.View(head[:k]) != h2.Preface[:k]:
			return l7.No
		case k < minPreface:
			return l7.More
		}
		return l7.Request
	}
	for b := head; ; {
		if len(b) < h2.HeaderLen {
			if len(b) == len(head) && !mayBegin(b) {
				return l7.No
			}
			return l7.More
		}
		if !h2.Plausible(b) {
			return l7.No
		}
		f := h2.Parse(b)
		body := b[h2.HeaderLen:min(len(b), f.Size())]
		switch {
		case f.Type == h2.Settings && f.Flags == 0 && len(body) == f.Length && len(b) == len(head):
			// The client's come behind its preface; both send them once.
			if settings(body) {
				return l7.Response
			}
			return l7.No
		case f.Type == h2.Headers && len(body) == f.Length:
			switch v := whose(f, body); v {
			case l7.More:
			default:
				return v
			}
		}
		if len(b) <= f.Size() {
			return l7.More
		}
		b = b[f.Size():]
	}
}

// mayBegin: fewer bytes than a frame's header has.
func mayBegin(b []byte) bool {
	return b[0] == 0 && (len(b) < 4 || b[3] <= byte(h2.Continuation)) && (len(b) < 6 || b[5] == 0)
}

// settings: identifiers that exist (RFC 9113, 8441, 9218, and what browsers and
// grpc-go send).
func settings(b []byte) bool {
	for ; len(b) >= 6; b = b[6:] {
		if id := uint16(b[0])<<8 | uint16(b[1]); id == 0 || id > 0x10 && id != 0xfe03 && id&0x0f0f != 0x0a0a {
			return false
		}
	}
	return true
}

// whose tells from a header block who sent it, More if the block does not say.
func whose(f h2.Frame, body []byte) l7.Verdict {
	block, ok := f.Payload(body)
	if !ok || f.Flags&h2.FlagEndHeaders == 0 {
		return l7.No
	}
	d := h2.NewDecoder(tags)
	d.Begin(block)
	v := l7.More
	for fd := (h2.Field{}); d.Next(&fd); {
		if v != l7.More || !fd.NameKnown {
			continue
		}
		switch fd.Tag {
		case tagMethod, tagPath, tagAuthority:
			v = l7.Request
		case tagStatus, tagGRPCStatus:
			v = l7.Response
		}
	}
	if d.Err() != nil {
		return l7.No
	}
	return v
}
