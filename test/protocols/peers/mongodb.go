package main

import (
	"context"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// mongodbClient inserts, of which every tenth is there already, finds and
// updates. What it counts are the commands that the driver had answers to.
func mongodbClient(ctx context.Context, addr string, n int) (counts, error) {
	out := counts{}
	var mu sync.Mutex
	add := func(name string, err error) {
		mu.Lock()
		defer mu.Unlock()
		out.add(name, err)
	}
	c, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + addr + "/?maxPoolSize=1&serverMonitoringMode=poll").SetMonitor(&event.CommandMonitor{
		Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) { add(e.CommandName, nil) },
		Failed:    func(_ context.Context, e *event.CommandFailedEvent) { add(e.CommandName, e.Failure) },
	}))
	if err != nil {
		return nil, err
	}
	orders := c.Database("shop").Collection("orders")
	for i := range n {
		if _, err := orders.InsertOne(ctx, bson.M{"_id": i, "text": "secret"}); err != nil {
			return nil, err
		}
		var got bson.M
		if err := orders.FindOne(ctx, bson.M{"_id": i}).Decode(&got); err != nil {
			return nil, err
		}
		if _, err := orders.UpdateOne(ctx, bson.M{"_id": i}, bson.M{"$set": bson.M{"text": "other"}}); err != nil {
			return nil, err
		}
		if i%10 != 0 {
			continue
		}
		if _, err := orders.InsertOne(ctx, bson.M{"_id": i}); !mongo.IsDuplicateKeyError(err) {
			return nil, fmt.Errorf("inserted twice: %w", err)
		}
		add("duplicate", nil)
		if err := c.Database("shop").RunCommand(ctx, bson.M{"gopher": 1}).Err(); err == nil {
			return nil, fmt.Errorf("the server knows gopher")
		}
	}
	return out, c.Disconnect(ctx)
}
