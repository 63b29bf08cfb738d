package mqtt

import "github.com/hopscope/hopscope/internal/l7"

// reason says how it ended, if the code is known. An acknowledgement without a
// code means 0.
func (p *parser) reason(m *l7.Message, code byte, known bool) {
	if !known {
		return
	}
	m.Code = m.Text.Uint(uint64(code))
	m.Status = l7.StatusOK
	switch {
	case code >= 0x80:
		m.Error, m.Status = reasonOf(code)
	case p.level < 5 && code >= 1 && code <= 5 && m.Stream == streamConnect:
		m.Error, m.Status = refused[code], l7.StatusClientError
		if code == 3 {
			m.Status = l7.StatusServerError
		}
	}
}

// refused is the text of a CONNACK code before version 5.
var refused = [...]string{
	1: "unacceptable protocol version",
	2: "identifier rejected",
	3: "server unavailable",
	4: "bad user name or password",
	5: "not authorized",
}

// reasonOf is the name of a version 5 reason code of 0x80 and more, and whose
// fault it is. https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901031
func reasonOf(code byte) (string, l7.Status) {
	const client, server = l7.StatusClientError, l7.StatusServerError
	switch code {
	case 0x80:
		return "unspecified error", server
	case 0x81:
		return "malformed packet", client
	case 0x82:
		return "protocol error", client
	case 0x83:
		return "implementation specific error", server
	case 0x84:
		return "unsupported protocol version", client
	case 0x85:
		return "client identifier not valid", client
	case 0x86:
		return "bad user name or password", client
	case 0x87:
		return "not authorized", client
	case 0x88:
		return "server unavailable", server
	case 0x89:
		return "server busy", server
	case 0x8A:
		return "banned", client
	case 0x8B:
		return "server shutting down", server
	case 0x8C:
		return "bad authentication method", client
	case 0x8D:
		return "keep alive timeout", client
	case 0x8E:
		return "session taken over", client
	case 0x8F:
		return "topic filter invalid", client
	case 0x90:
		return "topic name invalid", client
	case 0x91:
		return "packet identifier in use", client
	case 0x92:
		return "packet identifier not found", client
	case 0x93:
		return "receive maximum exceeded", client
	case 0x94:
		return "topic alias invalid", client
	case 0x95:
		return "packet too large", client
	case 0x96:
		return "message rate too high", client
	case 0x97:
		return "quota exceeded", client
	case 0x98:
		return "administrative action", server
	case 0x99:
		return "payload format invalid", client
	case 0x9A:
		return "retain not supported", client
	case 0x9B:
		return "QoS not supported", client
	case 0x9C:
		return "use another server", server
	case 0x9D:
		return "server moved", server
	case 0x9E:
		return "shared subscriptions not supported", client
	case 0x9F:
		return "connection rate exceeded", client
	case 0xA0:
		return "maximum connect time", server
	case 0xA1:
		return "subscription identifiers not supported", client
	case 0xA2:
		return "wildcard subscriptions not supported", client
	}
	return "", server
}
