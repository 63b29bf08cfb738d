//go:build wasip1

package main

import (
	"bytes"
	"encoding/json"

	"github.com/hopscope/hopscope/sdk"
)

func init() { sdk.OnSpan(onSpan) }

func onSpan(s sdk.Span) sdk.Action {
	_, body, ok := bytes.Cut(s.Payload(sdk.Response), []byte("\r\n\r\n"))
	if !ok || !bytes.Contains(body, []byte("OPT_STATUS")) {
		return sdk.Next
	}
	var answer struct {
		Status  string `json:"OPT_STATUS"`
		Message string `json:"OPT_MESSAGE"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return sdk.Next // cut off, or something else
	}
	good, ok := sdk.Setting("ok")
	if !ok {
		good = "OK"
	}
	if answer.Status != "" && answer.Status != good {
		s.SetString("hopscope.response.status", sdk.ServerError)
		s.SetString("error.type", answer.Status)
		s.SetString("span.status_message", answer.Message)
	}
	return sdk.Next
}
