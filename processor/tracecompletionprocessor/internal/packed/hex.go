package packed

// Ids are written as hexadecimal digits, take half as bytes, and are no words.
const (
	minHex = 16 // digits: a span id
	maxHex = 64
)

// nibble is the value of a digit, 0xff for what is none. Only lower case: the
// bytes must become the same text again.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	return t
}()

// hexLen is the number of bytes that s is the digits of. 0: it is not, or too
// short or too long.
func hexLen(s string) int {
	if len(s)&1 != 0 || len(s) < minHex || len(s) > maxHex {
		return 0
	}
	for i := range len(s) {
		if nibble[s[i]] > 15 {
			return 0
		}
	}
	return len(s) / 2
}

func appendHex(b []byte, s string) []byte {
	for i := 0; i < len(s); i += 2 {
		b = append(b, nibble[s[i]]<<4|nibble[s[i+1]])
	}
	return b
}
