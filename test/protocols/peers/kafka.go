package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaServer is a broker of one partition, in this process.
func kafkaServer() (string, error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		return "", err
	}
	return c.ListenAddrs()[0], nil
}

// tally counts the requests that a client has answers to, by their name.
type tally struct {
	mu sync.Mutex
	n  counts
}

func (t *tally) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Err() == nil {
		t.n[kmsg.NameForKey(key)]++
	}
}

// kafkaClient produces, each record awaited, and reads it all; then it produces
// to a topic that is not there.
func kafkaClient(ctx context.Context, addr string, n int) (counts, error) {
	t := &tally{n: counts{}}
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.WithHooks(t), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()),
		kgo.ConsumeTopics("orders"), kgo.ProducerLinger(0), kgo.DisableClientMetrics())
	if err != nil {
		return nil, err
	}
	for i := range n {
		r := &kgo.Record{Topic: "orders", Value: fmt.Append(nil, "order ", i), Headers: []kgo.RecordHeader{{Key: "txn", Value: fmt.Append(nil, "T", i)}}}
		if err := c.ProduceSync(ctx, r).FirstErr(); err != nil {
			return nil, err
		}
	}
	for got := 0; got < n; {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return nil, err
		}
		got += f.NumRecords()
	}
	// By hand: the client would not send what it knows to be wrong.
	failed := 0
	for range n / 10 {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 7, 1, 1000
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = "nowhere"
		part := kmsg.NewProduceRequestTopicPartition()
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, c.Broker(0))
		if err != nil {
			return nil, err
		}
		if kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode) != nil {
			failed++
		}
	}
	c.Close()
	time.Sleep(100 * time.Millisecond) // hooks of the last answers
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n["Produce failed"] = failed
	return t.n, nil
}
