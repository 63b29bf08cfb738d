package span

import (
	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/semconv"
	"github.com/hopscope/hopscope/internal/session"
)

// result is how an exchange ended.
type result struct {
	status  int // hopscope.response.status: an l7.Status, or timedOut
	code    string
	message string // the protocol's words for what went wrong
	route   string // of which there are not too many
	// failed: the span's status is Error. A client's mistake is no error of the
	// server that says so.
	failed bool
}

func outcome(x *session.Exchange, p hop.Point) (o result) {
	m := &x.Resp.Msg
	if !x.Resp.Seen || m.Status == l7.StatusUnset && x.Req.Msg.Status != l7.StatusUnset {
		m = &x.Req.Msg // one-way, or given up, if in the middle of the answer
	}
	o.code = m.Code
	switch {
	case m.Status != l7.StatusUnset:
		o.status = int(m.Status)
		o.failed = m.Status == l7.StatusServerError || m.Status == l7.StatusClientError && !p.OfServer()
		if m.Status.Failed() {
			o.message = m.Error
		}
	case x.Incomplete == session.Timeout:
		o.status, o.failed = timedOut, true
	}
	return o
}

// timedOut is the status of an exchange without an answer in time.
const (
	timedOut      = int(l7.StatusServerError) + 1
	statusTimeout = "timeout"
)

// errorType is the value of error.type, for a failed exchange.
func (o *result) errorType() string {
	switch {
	case o.status == timedOut:
		return statusTimeout
	case o.code != "":
		return o.code
	}
	return semconv.ErrorTypeOther
}
