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

// serve answers every method of Pinpoint's collector. Agents depend on details:
// a result that is no success stops a Go agent from registering, a ping that is
// not echoed makes it reconnect, a command stream that ends makes all of them
// come back.
func (c *core) serve(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	id, err := identity(s)
	if err != nil {
		return err
	}
	switch method {
	case "/v1.Agent/RequestAgentInfo", "/v1.Metadata/RequestApiMetaData", "/v1.Metadata/RequestSqlMetaData",
		"/v1.Metadata/RequestSqlUidMetaData", "/v1.Metadata/RequestStringMetaData", "/v1.Metadata/RequestExceptionMetaData":
		return c.unary(s, id, method, success)
	case "/v1.Span/SendSpanBatch":
		return c.unary(s, id, method, empty)
	case "/v1.Span/SendSpan", "/v1.Stat/SendAgentStat":
		err := c.each(s, func(b []byte) error {
			c.put(id, method, b, time.Now().UnixNano())
			return nil
		})
		if err != nil {
			return err
		}
		return s.SendMsg(&empty)
	case "/v1.Agent/PingSession":
		return c.each(s, func([]byte) error { return s.SendMsg(&empty) })
	case "/v1.ProfilerCommandService/HandleCommand", "/v1.ProfilerCommandService/HandleCommandV2":
		// Held open and silent: we have no commands.
		return c.each(s, func([]byte) error { return nil })
	case "/v1.ProfilerCommandService/CommandEcho", "/v1.ProfilerCommandService/CommandActiveThreadDump",
		"/v1.ProfilerCommandService/CommandActiveThreadLightDump", "/v1.ProfilerCommandService/CommandStreamActiveThreadCount":
		if err := c.each(s, func([]byte) error { return nil }); err != nil {
			return err
		}
		return s.SendMsg(&empty)
	}
	return status.Errorf(codes.Unimplemented, "%s is not a method of Pinpoint's collector", method)
}

func (c *core) unary(s grpc.ServerStream, id *convert.Identity, method string, answer []byte) error {
	var b []byte
	if err := s.RecvMsg(&b); err != nil {
		return err
	}
	c.put(id, method, b, time.Now().UnixNano())
	return s.SendMsg(&answer)
}

// each gives the messages of the agent to f until it has no more.
func (c *core) each(s grpc.ServerStream, f func([]byte) error) error {
	for {
		var b []byte
		switch err := s.RecvMsg(&b); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(b); err != nil {
			return err
		}
	}
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
