package amqp

import "github.com/hopscope/hopscope/internal/l7"

// properties reads the property list of a content header of class basic.
func properties(c *l7.Cursor, o *l7.Options, m *l7.Message) {
	flags := c.U16()
	text := func(bit uint) []byte {
		if flags>>bit&1 == 0 {
			return nil
		}
		return shortstr(c)
	}
	add := func(key string, v []byte) {
		if len(v) > 0 && !c.Short() {
			m.Add(key, m.Text.Copy(v))
		}
	}
	text(15) // content type
	text(14) // content encoding
	if flags>>13&1 != 0 {
		n := int(c.U32())
		b := c.Rest()
		cut := n > len(b)
		if !cut {
			b = c.Take(n)
		}
		table(b, o, m)
		if cut {
			return
		}
	}
	if flags>>12&1 != 0 {
		c.Skip(1) // delivery mode
	}
	if flags>>11&1 != 0 {
		c.Skip(1) // priority
	}
	add("messaging.message.conversation_id", text(10))
	add("hopscope.messaging.reply_to", text(9))
	text(8) // expiration
	add("messaging.message.id", text(7))
}

// maxFields bounds how many headers of a message are looked at.
const maxFields = 128

// table looks for ids among the headers, which are names and typed values.
func table(b []byte, o *l7.Options, m *l7.Message) {
	c := l7.NewCursor(b)
	for range maxFields {
		if c.Len() == 0 {
			return
		}
		name := shortstr(&c)
		kind := c.U8()
		if kind == 'S' || kind == 'x' {
			v := c.Take(int(c.U32()))
			if c.Short() {
				return
			}
			o.Header(m, name, v)
			continue
		}
		if !skipValue(&c, kind) {
			return
		}
	}
}

// skipValue skips a value, https://www.rabbitmq.com/amqp-0-9-1-errata.html#section_3.
func skipValue(c *l7.Cursor, kind byte) bool {
	switch kind {
	case 't', 'b', 'B':
		c.Skip(1)
	case 's', 'U', 'u':
		c.Skip(2)
	case 'I', 'i', 'f':
		c.Skip(4)
	case 'D':
		c.Skip(5)
	case 'l', 'L', 'd', 'T':
		c.Skip(8)
	case 'S', 'x', 'A', 'F':
		c.Skip(int(c.U32()))
	case 'V':
	default:
		return false
	}
	return !c.Short()
}
