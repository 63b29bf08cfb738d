package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// natsClient publishes and is delivered a multiple of 20 times, asks and answers; every tenth question
// nobody answers to.
func natsClient(ctx context.Context, addr string, n int) (counts, error) {
	out := counts{}
	c, err := nats.Connect("nats://"+addr, nats.Name("peers"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answerer, err := nats.Connect("nats://" + addr)
	if err != nil {
		return nil, err
	}
	defer answerer.Close()
	if _, err := answerer.Subscribe("orders.ask", func(m *nats.Msg) { _ = m.Respond([]byte("yes")) }); err != nil {
		return nil, err
	}
	got := make(chan struct{}, n)
	if _, err := answerer.Subscribe("orders.new", func(*nats.Msg) { got <- struct{}{} }); err != nil {
		return nil, err
	}
	if err := answerer.Flush(); err != nil {
		return nil, err
	}
	for i := range n {
		m := &nats.Msg{Subject: "orders.new", Data: fmt.Append(nil, "order ", i), Header: nats.Header{"X-Request-Id": {fmt.Sprint("r", i)}}}
		if err := c.PublishMsg(m); err != nil {
			return nil, err
		}
		out["publish"]++
		if i%20 != 19 {
			continue
		}
		// A call that moves more than sockets::max_capture is seen in part: not
		// too many at once.
		if err := c.Flush(); err != nil {
			return nil, err
		}
		for range 20 {
			select {
			case <-got:
				out["deliver"]++
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if i == 19 {
			// Until the collector has asked the kernel for all of each call it
			// gets the first bytes of what one end says at a stretch.
			time.Sleep(200 * time.Millisecond)
		}
	}
	for i := range n {
		subject := "orders.ask"
		if i%10 == 0 {
			subject = "orders.nobody"
		}
		_, err := c.Request(subject, []byte("well?"), 5*time.Second)
		if err != nil && !errors.Is(err, nats.ErrNoResponders) {
			return nil, err
		}
		out.add("request", err)
	}
	return out, nil
}

// natsBurst publishes n messages at a time, which the library sends in as few
// calls as it can, under a subject of its own each time; "next" is what a second
// connection publishes first.
func natsBurst(_ context.Context, addr string, n int) (counts, error) {
	out := counts{}
	for _, subjects := range [][]string{{"first", "second", "third", "fourth"}, {"next"}} {
		c, err := nats.Connect("nats://" + addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		for _, subject := range subjects {
			time.Sleep(300 * time.Millisecond) // the kernel has to be told
			for range n {
				if err := c.Publish(subject, []byte("one of many messages")); err != nil {
					return nil, err
				}
				out[subject]++
			}
			if err := c.Flush(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
