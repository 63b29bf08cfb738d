package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// mqttClient publishes at each quality of service and is delivered.
func mqttClient(ctx context.Context, addr string, n int) (counts, error) {
	out := counts{}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("peers").SetProtocolVersion(4).SetAutoReconnect(false))
	if err := wait(c.Connect()); err != nil {
		return nil, err
	}
	out["connect"]++
	var got atomic.Int64
	if err := wait(c.Subscribe("orders/#", 2, func(mqtt.Client, mqtt.Message) { got.Add(1) })); err != nil {
		return nil, err
	}
	out["subscribe"]++
	for i := range n {
		qos := byte(i % 3)
		if err := wait(c.Publish("orders/new", qos, false, fmt.Append(nil, "order ", i))); err != nil {
			return nil, err
		}
		out[fmt.Sprint("publish ", qos)]++
	}
	for got.Load() < int64(n) {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d came: %w", got.Load(), n, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	out["deliver"] = int(got.Load())
	time.Sleep(200 * time.Millisecond) // acknowledgements of the last deliveries
	c.Disconnect(250)
	return out, nil
}

func wait(t mqtt.Token) error {
	if !t.WaitTimeout(20 * time.Second) {
		return errors.New("no answer within 20s")
	}
	return t.Error()
}
