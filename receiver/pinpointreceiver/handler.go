package pinpointreceiver

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/convert"
)

// Answers, as protocol buffers.
var (
	empty   = []byte{}                     // Empty, PPing, PSpanResultBatch
	success = []byte("\x08\x01\x12\x02OK") // PResult{success: true, message: "OK"}
)

// server answers agents.
type server struct {
	core    *core
	forward *forwarder // may be nil
}

// serve answers every method of Pinpoint's collector. Agents depend on details:
// a result that is no success stops a Go agent from registering, a ping that is
// not echoed makes it reconnect, a command stream that ends makes all of them
// come back.
func (v *server) serve(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	if _, ours := kinds[method]; !ours {
		if v.forward != nil && v.forward.to[serviceOf(method)] != nil {
			return v.forward.proxy(s, method)
		}
		return status.Errorf(codes.Unimplemented, "%s is not a method of Pinpoint's collector", method)
	}
	id, err := identity(s)
	if err != nil {
		return err
	}
	// Commands of the other collector reach the agent; we have none.
	var down func([]byte) error
	if method == handleCommand || method == handleCommandV2 {
		down = func(b []byte) error { return s.SendMsg(&b) }
	}
	unary := answers[method] != nil
	r := v.forward.relay(s, method, unary, down)
	defer r.end()
	take := func(b []byte) {
		v.core.put(sent, id, method, b, time.Now().UnixNano())
		r.put(b)
	}
	if unary {
		var b []byte
		if err := s.RecvMsg(&b); err != nil {
			return err
		}
		take(b)
		answer := answers[method]
		return s.SendMsg(&answer)
	}
	for {
		var b []byte
		switch err := s.RecvMsg(&b); {
		case errors.Is(err, io.EOF):
			if method == pingSession || down != nil {
				return nil // all is said
			}
			return s.SendMsg(&empty)
		case err != nil:
			return err
		}
		take(b)
		if method == pingSession {
			if err := s.SendMsg(&empty); err != nil {
				return err
			}
		}
	}
}

// answers are those of unary calls.
var answers = map[string][]byte{
	agentInfo: success, apiMeta: success, sqlMeta: success, sqlUIDMeta: success, stringMeta: success, exceptionMeta: success,
	sendSpanBatch: empty, commandEcho: empty, commandDump: empty, commandLightDump: empty,
}

// identity is what the headers say of the agent. The API key is never read.
func identity(s grpc.ServerStream) (*convert.Identity, error) {
	md, _ := metadata.FromIncomingContext(s.Context())
	get := func(k string) string { return strings.Join(md.Get(k), "") }
	id, ok := convert.Headers{
		AgentID: get("agentid"), AgentName: get("agentname"), Application: get("applicationname"), Service: get("servicename"),
		Start: get("starttime"), ServiceType: get("servicetype"), Protocol: get("protocol.version"),
	}.Identity()
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "agentid or starttime is missing or malformed")
	}
	return &id, nil
}

// raw passes messages on as they are: they are decoded by hand.
type raw struct{}

var _ encoding.CodecV2 = raw{}

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("marshal %T: not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("unmarshal into %T: not bytes", v)
	}
	*b = data.Materialize()
	return nil
}

func (raw) Name() string { return "proto" }
