//go:build wasip1

package main

import (
	"fmt"

	"github.com/hopscope/hopscope/sdk/deepflow"
)

func init() { deepflow.SetParser(parser{}) }

type parser struct{ deepflow.DefaultParser }

func (parser) HookIn() []deepflow.HookBitmap {
	return []deepflow.HookBitmap{deepflow.HOOK_POINT_HTTP_REQ, deepflow.HOOK_POINT_HTTP_RESP, deepflow.HOOK_POINT_PAYLOAD_PARSE}
}

func (parser) OnHttpReq(c *deepflow.HttpReqCtx) deepflow.Action {
	return deepflow.HttpReqActionAbortWithResult(nil, &deepflow.Trace{TraceID: c.Path},
		[]deepflow.KeyVal{{Key: "app.who", Val: fmt.Sprint(c.BaseCtx.ProcName, " ", c.BaseCtx.SrcIP, ":", c.BaseCtx.SrcPort, " ", c.BaseCtx.DstPort, " ", c.UserAgent)}})
}

func (parser) OnHttpResp(c *deepflow.HttpRespCtx) deepflow.Action {
	code := int32(c.Code) + 399
	return deepflow.HttpRespActionAbortWithResult(&deepflow.Response{Status: deepflow.RespStatusServerErr, Code: &code, Exception: "so it says"}, nil, nil)
}

func read(c *deepflow.ParseCtx) (kind byte, id uint32, text string) {
	b, err := c.GetPayload()
	if err != nil {
		return 0, 0, ""
	}
	if n, _ := fmt.Sscanf(string(b), "%c %d %s", &kind, &id, &text); n != 3 || kind != 'Q' && kind != 'A' {
		return 0, 0, ""
	}
	return kind, id, text
}

func (parser) OnCheckPayload(c *deepflow.ParseCtx) (uint8, string, uint8) {
	switch kind, _, _ := read(c); kind {
	case 'Q':
		return 77, "qa", 1
	case 'A':
		return 77, "qa", 2
	}
	return 0, "", 0
}

func (parser) OnParsePayload(c *deepflow.ParseCtx) deepflow.Action {
	kind, id, text := read(c)
	if kind == 0 || c.L7 != 77 {
		return deepflow.ActionNext()
	}
	first := &deepflow.L7ProtocolInfo{RequestID: &id, ProtocolMerge: true}
	second := &deepflow.L7ProtocolInfo{RequestID: &id, ProtocolMerge: true, IsEnd: true, Kv: []deepflow.KeyVal{{Key: "app." + string(kind), Val: text}}}
	if kind == 'Q' {
		first.Req, second.Req = &deepflow.Request{ReqType: "ask", Endpoint: "it"}, &deepflow.Request{}
	} else {
		first.Resp, second.Resp = &deepflow.Response{}, &deepflow.Response{Status: deepflow.RespStatusClientErr, Exception: "no"}
	}
	return deepflow.ParseActionAbortWithL7Info([]*deepflow.L7ProtocolInfo{first, second})
}
