package main

import (
	"context"
	"fmt"

	"github.com/go-zeromq/zmq4"
)

// zmtpServer is a REP socket.
func zmtpServer() (string, error) {
	s := zmq4.NewRep(context.Background())
	if err := s.Listen("tcp://127.0.0.1:0"); err != nil {
		return "", err
	}
	go func() {
		for {
			m, err := s.Recv()
			if err != nil {
				return
			}
			if err := s.Send(zmq4.NewMsgFrom([]byte("got"), m.Bytes())); err != nil {
				return
			}
		}
	}()
	return s.Addr().String(), nil
}

// zmtpClient is a REQ socket.
func zmtpClient(ctx context.Context, addr string, n int) (counts, error) {
	s := zmq4.NewReq(ctx)
	defer s.Close()
	if err := s.Dial("tcp://" + addr); err != nil {
		return nil, err
	}
	out := counts{}
	for i := range n {
		if err := s.Send(zmq4.NewMsgString(fmt.Sprint("order ", i))); err != nil {
			return nil, err
		}
		m, err := s.Recv()
		if err != nil || len(m.Frames) != 2 {
			return nil, fmt.Errorf("message %d: %v, %w", i, m, err)
		}
		out["request"]++
	}
	return out, nil
}
