package main

import "bytes"

// attachment is the value of a string in a Hessian2 map: a text is its length (up
// to 31 a byte, up to 1,023 the lowest two bits of '0' to '3' and a byte), then
// its characters.
func attachment(b []byte, key string) string {
	name := append([]byte{byte(len(key))}, key...) // keys are short
	i := bytes.LastIndex(b, name)                  // the map is behind the arguments
	if i < 0 {
		return ""
	}
	b = b[i+len(name):]
	if len(b) == 0 {
		return ""
	}
	n := int(b[0])
	switch b = b[1:]; {
	case n <= 0x1f:
	case n >= 0x30 && n <= 0x33 && len(b) > 0:
		n, b = (n-0x30)<<8|int(b[0]), b[1:]
	default:
		return ""
	}
	if n > len(b) {
		return ""
	}
	return string(b[:n])
}
