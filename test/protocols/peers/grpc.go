package main

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type (
	number = wrapperspb.Int32Value
	text   = wrapperspb.StringValue
)

// The service is written down by hand: nothing here needs generated code.
var orders = grpc.ServiceDesc{
	ServiceName: "test.Orders",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in number
		if err := dec(&in); err != nil {
			return nil, err
		}
		if in.Value == 0 {
			return nil, status.Error(codes.NotFound, "no such order")
		}
		return &text{Value: "order"}, nil
	}}},
	Streams: []grpc.StreamDesc{
		{StreamName: "List", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			var in number
			if err := s.RecvMsg(&in); err != nil {
				return err
			}
			for range in.Value {
				if err := s.SendMsg(&text{Value: "one of them"}); err != nil {
					return err
				}
			}
			return nil
		}},
		{StreamName: "Sum", ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			var in number
			for sum := int32(0); ; sum += in.Value {
				if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
					return s.SendMsg(&number{Value: sum})
				} else if err != nil {
					return err
				}
			}
		}},
		{StreamName: "Chat", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			var in number
			for {
				if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if in.Value < 0 {
					return status.Error(codes.Internal, "broken")
				}
				if err := s.SendMsg(&in); err != nil {
					return err
				}
			}
		}},
	},
}

func grpcServer() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := grpc.NewServer()
	s.RegisterService(&orders, nil)
	go s.Serve(l)
	return l.Addr().String(), nil
}

// grpcClient calls each kind of method; every tenth call fails.
func grpcClient(ctx context.Context, addr string, n int) (counts, error) {
	out := counts{}
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-txn", "T4711")
	for i := range n {
		err := c.Invoke(ctx, "/test.Orders/Get", &number{Value: int32(i % 10)}, new(text))
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, err
		}
		out.add("Get", err)
		for k, name := range []string{"List", "Sum", "Chat"} {
			sent, got, err := stream(ctx, c, k, name, i)
			if err != nil && status.Code(err) != codes.Internal {
				return nil, err
			}
			out.add(name, err)
			out["messages sent"] += sent
			out["messages got"] += got
		}
	}
	return out, nil
}

// stream makes one call of method k of the service's streams.
func stream(ctx context.Context, c *grpc.ClientConn, k int, name string, i int) (sent, got int, err error) {
	d := &orders.Streams[k]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.NewStream(ctx, d, "/test.Orders/"+name)
	if err != nil {
		return 0, 0, err
	}
	n := 1
	if d.ClientStreams {
		n = 5
	}
	for j := range n {
		v := int32(3)
		if name == "Chat" && i%10 == 0 && j == 2 {
			v = -1
		}
		if err := s.SendMsg(&number{Value: v}); err != nil {
			if errors.Is(err, io.EOF) {
				break // RecvMsg says why
			}
			return sent, got, err
		}
		sent++
		if name == "Chat" {
			if err := s.RecvMsg(new(number)); err != nil {
				return sent, got, err
			}
			got++
		}
	}
	if err := s.CloseSend(); err != nil {
		return sent, got, err
	}
	for {
		// Either type reads the other's bytes: the field has the same number.
		m := any(new(text))
		if name != "List" {
			m = new(number)
		}
		switch err := s.RecvMsg(m); {
		case errors.Is(err, io.EOF):
			return sent, got, nil
		case err != nil:
			return sent, got, err
		}
		got++
	}
}
