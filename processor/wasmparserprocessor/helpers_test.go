package wasmparserprocessor

import (
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/internal/wasmhost"
)

const parsePayload = wasmhost.ParsePayload

func timeZero() time.Time { return time.Unix(0, 0) }
func timeNow() time.Time  { return time.Now() }

func messageFor(s ptrace.Span, payload string) *wasmhost.Message {
	return &wasmhost.Message{Ctx: parseCtx(s, "shop", wasmhost.ToServer), Payload: []byte(payload)}
}
