package l7

import (
	"fmt"
	"testing"
)

func TestProtoFields(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"empty", "", "", true},
		{"each type", "\x08\x96\x01\x12\x02hi\x19\x01\x00\x00\x00\x00\x00\x00\x00\x25\x02\x00\x00\x00", `1=150 2="hi" 3=1 4=2 `, true},
		{"one number twice", "\x08\x01\x08\x02", "1=1 1=2 ", true},
		{"cut in a tag", "\x80", "", false},
		{"cut in a number", "\x08\x01\x08\x80", "1=1 ", false},
		{"cut in bytes", "\x12\x03hi", "", false},
		{"cut in a fixed one", "\x25\x02\x00", "", false},
		{"number zero", "\x00\x01", "", false},
		{"a group", "\x0b\x0c", "", false},
		{"too high a number", "\x88\x80\x20\x01", "", false},
		{"a length of 64 bits", "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "", false},
	} {
		got := ""
		ok := ProtoFields([]byte(tt.in), func(num int, v uint64, s []byte) {
			if s != nil {
				got += fmt.Sprintf("%d=%q ", num, s)
				return
			}
			got += fmt.Sprintf("%d=%d ", num, v)
		})
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q, %t; want %q, %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}
