//go:build wasip1

package main

import (
	"bytes"

	"github.com/hopscope/hopscope/sdk"
)

func init() { sdk.OnSpan(onSpan) }

var want = []byte("x-order: ")

func onSpan(s sdk.Span) sdk.Action {
	b := s.Payload(sdk.Request)
	fields := int64(-1)
	var order []byte
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end <= 1 {
			break
		}
		line := b[:end-1]
		if len(line) > len(want) && bytes.EqualFold(line[:len(want)], want) {
			order = line[len(want):]
		}
		fields++
		b = b[end+1:]
	}
	if order != nil {
		s.SetString("app.order", string(order))
	}
	s.SetInt("app.fields", fields)
	return sdk.Next
}
