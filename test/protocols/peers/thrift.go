package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/apache/thrift/lib/go/thrift"
)

// thriftForm is one of the ways in which Thrift speaks.
type thriftForm struct {
	transport thrift.TTransportFactory
	protocol  thrift.TProtocolFactory
}

var thriftForms = map[string]thriftForm{
	"binary":  {thrift.NewTBufferedTransportFactory(4096), thrift.NewTBinaryProtocolFactoryConf(nil)},
	"framed":  {thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil), thrift.NewTBinaryProtocolFactoryConf(nil)},
	"compact": {thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil), thrift.NewTCompactProtocolFactoryConf(nil)},
	"header":  {thrift.NewTHeaderTransportFactoryConf(thrift.NewTTransportFactory(), nil), thrift.NewTHeaderProtocolFactoryConf(nil)},
}

// thriftNumber is a struct of Thrift's with one field, {id: i32 n}; what the compiler
// would make of `i32 twice(1: i32 n)` and of its answer.
type thriftNumber struct {
	id int16
	n  int32
}

func (v *thriftNumber) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, "number"), p.WriteFieldBegin(ctx, "n", thrift.I32, v.id), p.WriteI32(ctx, v.n),
		p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

func (v *thriftNumber) Read(ctx context.Context, p thrift.TProtocol) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, kind, _, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if kind == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		if v.n, err = p.ReadI32(ctx); err != nil {
			return err
		}
		if err := p.ReadFieldEnd(ctx); err != nil {
			return err
		}
	}
}

// thriftService answers twice, hears noted, and knows nothing else.
type thriftService struct{}

func (thriftService) ProcessorMap() map[string]thrift.TProcessorFunction { return nil }

func (thriftService) AddToProcessorMap(string, thrift.TProcessorFunction) {}

func (thriftService) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	v := thriftNumber{id: 0}
	if err := errors.Join(v.Read(ctx, in), in.ReadMessageEnd(ctx)); err != nil {
		return false, thrift.WrapTException(err)
	}
	switch name {
	case "noted":
		return true, nil
	case "twice":
		v.n *= 2
		err = errors.Join(out.WriteMessageBegin(ctx, name, thrift.REPLY, seq), v.Write(ctx, out))
	default:
		unknown := thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "no "+name)
		err = errors.Join(out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq), unknown.Write(ctx, out))
	}
	if err = errors.Join(err, out.WriteMessageEnd(ctx), out.Flush(ctx)); err != nil {
		return false, thrift.WrapTException(err)
	}
	return true, nil
}

func thriftServer(form string) func() (string, error) {
	return func() (string, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		f := thriftForms[form]
		s := thrift.NewTSimpleServer4(thriftService{}, thrift.NewTServerSocketFromAddrTimeout(l.Addr(), 0), f.transport, f.protocol)
		addr := l.Addr().String()
		if err := errors.Join(l.Close(), s.Listen()); err != nil {
			return "", err
		}
		go s.AcceptLoop()
		return addr, nil
	}
}

// thriftClient calls twice, tells noted, which nobody answers, and asks every
// tenth time for what is not there.
func thriftClient(form string) func(context.Context, string, int) (counts, error) {
	return func(ctx context.Context, addr string, n int) (counts, error) {
		f := thriftForms[form]
		t, err := f.transport.GetTransport(thrift.NewTSocketConf(addr, nil))
		if err != nil {
			return nil, err
		}
		if err := t.Open(); err != nil {
			return nil, err
		}
		defer t.Close()
		p := f.protocol.GetProtocol(t)
		c := thrift.NewTStandardClient(p, p)
		out := counts{}
		for i := range n {
			args, result := thriftNumber{1, int32(i)}, thriftNumber{id: 0}
			if _, err := c.Call(ctx, "twice", &args, &result); err != nil || result.n != 2*args.n {
				return nil, fmt.Errorf("twice %d is %d, %w", args.n, result.n, err)
			}
			out["twice"]++
			if _, err := c.Call(ctx, "noted", &args, nil); err != nil {
				return nil, err
			}
			out["noted"]++
			if i%10 != 0 {
				continue
			}
			var unknown thrift.TApplicationException
			if _, err := c.Call(ctx, "missing", &args, &result); !errors.As(err, &unknown) {
				return nil, fmt.Errorf("the server knows missing: %w", err)
			}
			out["missing failed"]++
		}
		return out, nil
	}
}
