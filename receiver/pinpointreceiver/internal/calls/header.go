package calls

import (
	"strings"

	"github.com/hopscope/hopscope/internal/h2"
)

const (
	tagOther uint8 = iota
	tagPath
	tagAgentID
	tagAgentName
	tagApplication
	tagService
	tagStart
	tagType
	tagVersion
	tagSocket
	tagEncoding
)

// tags knows the names of the headers that are read. The API key is not among
// them: what is not read cannot leak.
var tags = h2.NewTags(func(name string) uint8 {
	switch name {
	case ":path":
		return tagPath
	case "agentid":
		return tagAgentID
	case "agentname":
		return tagAgentName
	case "applicationname":
		return tagApplication
	case "servicename":
		return tagService
	case "starttime":
		return tagStart
	case "servicetype":
		return tagType
	case "protocol.version":
		return tagVersion
	case "socketid":
		return tagSocket
	case "grpc-encoding":
		return tagEncoding
	}
	return tagOther
})

// read takes the headers of a request.
func (h *Header) read(d *h2.Decoder) {
	for fd := (h2.Field{}); d.Next(&fd); {
		if !fd.NameKnown || !fd.ValueKnown {
			h.Partial = true
			continue
		}
		to := h.field(fd.Tag)
		if to != nil {
			*to = keep(&fd)
		}
	}
}

func (h *Header) field(tag uint8) *string {
	switch tag {
	case tagPath:
		return &h.Path
	case tagAgentID:
		return &h.AgentID
	case tagAgentName:
		return &h.AgentName
	case tagApplication:
		return &h.ApplicationName
	case tagService:
		return &h.ServiceName
	case tagStart:
		return &h.StartTime
	case tagType:
		return &h.ServiceType
	case tagVersion:
		return &h.ProtocolVersion
	case tagSocket:
		return &h.SocketID
	case tagEncoding:
		return &h.Encoding
	}
	return nil
}

func keep(fd *h2.Field) string {
	v := fd.Value[:min(len(fd.Value), MaxValue)]
	if fd.ValueKept {
		return v
	}
	return strings.Clone(v)
}
