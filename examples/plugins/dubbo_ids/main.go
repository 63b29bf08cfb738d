//go:build wasip1

package main

import "github.com/hopscope/hopscope/sdk/deepflow"

func init() { deepflow.SetParser(ids{}) }

type ids struct{ deepflow.DefaultParser }

func (ids) HookIn() []deepflow.HookBitmap {
	return []deepflow.HookBitmap{deepflow.HOOK_POINT_CUSTOM_MESSAGE}
}

func (ids) CustomMessageHookIn() uint64 { return deepflow.PROTOCOL_DUBBO }

func (ids) OnCustomMessage(c *deepflow.CustomMessageCtx) deepflow.Action {
	if c.BaseCtx.Direction != deepflow.DirectionRequest {
		return deepflow.ActionNext()
	}
	b, err := c.BaseCtx.GetPayload()
	if err != nil {
		return deepflow.ActionAbortWithErr(err)
	}
	trace := &deepflow.Trace{
		TraceID:    attachment(b, "_DUBBO_TRASACTION_ID"), // spelled so by Pinpoint
		XRequestID: attachment(b, "request_id"),
	}
	var more []deepflow.KeyVal
	if v := attachment(b, "entry_id"); v != "" {
		more = append(more, deepflow.KeyVal{Key: "app.entry_id", Val: v})
	}
	if trace.TraceID == "" && trace.XRequestID == "" && more == nil {
		return deepflow.ActionNext()
	}
	return deepflow.CustomMessageActionAbortWithResult(&deepflow.Request{}, nil, trace, more)
}
