package mqtt

import "github.com/hopscope/hopscope/internal/l7"

// properties reads the properties of a version 5 packet, as far as a span needs
// them, and returns the topic alias. Identifiers and types are from
// https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901029.
func (p *parser) properties(c *l7.Cursor, m *l7.Message, side l7.Side) (alias uint16) {
	for c.Len() > 0 && !c.Short() {
		switch id := c.U8(); id {
		case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A: // a byte
			c.Skip(1)
		case 0x13, 0x21, 0x22: // two bytes
			c.Skip(2)
		case 0x02, 0x11, 0x18, 0x27: // four bytes
			c.Skip(4)
		case 0x0B:
			c.Uvarint()
		case 0x23:
			if v := c.U16(); !c.Short() {
				alias = v
			}
		case 0x03, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F: // text or bytes
			c.Take(int(c.U16()))
		case 0x08:
			if v := c.Take(int(c.U16())); len(v) > 0 {
				m.Add("hopscope.messaging.reply_to", m.Text.Copy(v))
			}
		case 0x09:
			if v := c.Take(int(c.U16())); len(v) > 0 && len(v) <= maxCorrelation {
				m.Add("messaging.message.conversation_id", correlation(m.Text, v))
			}
		case 0x26:
			k := c.Take(int(c.U16()))
			v := c.Take(int(c.U16()))
			if !c.Short() {
				p.opts.Header(m, k, v)
			}
		default:
			return alias
		}
	}
	return alias
}

// maxCorrelation bounds the correlation data that are kept: ids are 16 to 64
// bytes.
const maxCorrelation = 128

// correlation is the text of correlation data, in hex if they are not text.
func correlation(t *l7.Text, v []byte) string {
	for _, c := range v {
		if c < 0x20 || c > 0x7e {
			const hex = "0123456789abcdef"
			return t.Build(2*len(v), func(d []byte) int {
				for i, b := range v {
					d[2*i], d[2*i+1] = hex[b>>4], hex[b&15]
				}
				return 2 * len(v)
			})
		}
	}
	return t.Copy(v)
}
