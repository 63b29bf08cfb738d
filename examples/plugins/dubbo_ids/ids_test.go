package main

import "testing"

func TestAttachment(t *testing.T) {
	long := make([]byte, 300)
	for i := range long {
		long[i] = 'x'
	}
	b := append([]byte("some arguments H\x08entry_id\x02e7\x14_DUBBO_TRASACTION_ID\x31\x2c"), long...)
	b = append(b, "\x03cut\x10ab"...)
	for key, want := range map[string]string{"entry_id": "e7", "_DUBBO_TRASACTION_ID": string(long), "cut": "", "none": ""} {
		if got := attachment(b, key); got != want {
			t.Errorf("%s: %q", key, got)
		}
	}
	for i := range b {
		attachment(b[:i], "_DUBBO_TRASACTION_ID") // whatever is cut off
	}
}
