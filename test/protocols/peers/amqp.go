package main

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpClient publishes with confirms, is delivered and acknowledges, gets, of
// which nothing comes, and publishes to an exchange that is not there, which
// ends a channel each time.
func amqpClient(ctx context.Context, addr string, n int) (counts, error) {
	out := counts{}
	c, err := amqp.Dial("amqp://guest:guest@" + addr + "/")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return nil, err
	}
	if _, err := ch.QueueDeclare("orders", false, false, false, false, nil); err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	for i := range n {
		d, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", "orders", true, false, amqp.Publishing{
			ContentType: "text/plain", MessageId: fmt.Sprint("m", i), Headers: amqp.Table{"x-txn": fmt.Sprint("T", i)}, Body: fmt.Append(nil, "order ", i)})
		if err != nil {
			return nil, err
		}
		if ok, err := d.WaitContext(ctx); err != nil || !ok {
			return nil, fmt.Errorf("publish %d: confirmed %t, %w", i, ok, err)
		}
		out["publish"]++
	}
	reader, err := c.Channel()
	if err != nil {
		return nil, err
	}
	msgs, err := reader.Consume("orders", "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	for range n {
		select {
		case m := <-msgs:
			out["deliver"]++
			if err := m.Ack(false); err != nil {
				return nil, err
			}
			out["ack"]++
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := reader.Close(); err != nil {
		return nil, err
	}
	for range n / 10 {
		_, ok, err := ch.Get("orders", true)
		if err != nil {
			return nil, err
		}
		if !ok {
			out["get empty"]++
		}
	}
	for range n / 10 {
		bad, err := c.Channel()
		if err != nil {
			return nil, err
		}
		closed := bad.NotifyClose(make(chan *amqp.Error, 1))
		if err := bad.PublishWithContext(ctx, "nowhere", "orders", false, false, amqp.Publishing{Body: []byte("lost")}); err != nil {
			return nil, err
		}
		if e := <-closed; e == nil || e.Code != amqp.NotFound {
			return nil, errors.New("the broker knows an exchange that is not there")
		}
		out["publish failed"]++
	}
	return out, nil
}
