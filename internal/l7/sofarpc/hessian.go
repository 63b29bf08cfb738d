package sofarpc

import "github.com/hopscope/hopscope/internal/l7"

// bodyLook is how much of a body is looked at: the definition of SofaRequest and
// the name of the method, which is its first field.
const bodyLook = 512

// maxFields bounds those of a definition.
const maxFields = 16

// firstField gives the reader that stands at the first field of the object in b,
// if that is of the class and the field has that name. Objects are written as
// Hessian 2 has them, or in the form before it that SOFA's own library still
// writes: 'O' for the definition, 'o' for the object.
func firstField(b []byte, class, field string) (c l7.Cursor, ok bool) {
	c = l7.NewCursor(b)
	var name []byte
	old := false
	switch c.U8() {
	case 'O':
		old = true
		name = c.Take(compact(&c))
	case 'C':
		name = text(&c)
	}
	n := compact(&c)
	if string(name) != class || n < 1 || n > maxFields {
		return c, false
	}
	for i := range n {
		if name := text(&c); i == 0 && string(name) != field {
			return c, false
		}
	}
	if old {
		return c, c.U8() == 'o' && compact(&c) == 0 && !c.Short()
	}
	return c, c.U8() == 0x60 && !c.Short()
}

// compact is an int of one or two bytes, or -1.
func compact(c *l7.Cursor) int {
	switch k := int(c.U8()); {
	case k >= 0x80 && k <= 0xbf:
		return k - 0x90
	case k >= 0xc0 && k <= 0xcf:
		return (k-0xc8)<<8 + int(c.U8())
	}
	return -1
}

// text is a short string: of more than 31 characters the length takes two bytes.
// What is not ASCII has more bytes than characters, and is no name.
func text(c *l7.Cursor) []byte {
	switch k := int(c.U8()); {
	case k < 0x20:
		return c.Take(k)
	case k >= 0x30 && k <= 0x33:
		return c.Take((k-0x30)<<8 + int(c.U8()))
	case k == 'S':
		return c.Take(int(c.U16()))
	}
	c.Fail()
	return nil
}
