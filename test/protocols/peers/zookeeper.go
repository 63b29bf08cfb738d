package main

import (
	"context"
	"errors"
	"time"

	"github.com/go-zookeeper/zk"
)

// zookeeperClient makes, reads and deletes nodes; every tenth it reads is not
// there.
func zookeeperClient(_ context.Context, addr string, n int) (counts, error) {
	out := counts{}
	c, events, err := zk.Connect([]string{addr}, 30*time.Second, zk.WithLogInfo(false))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for e := range events {
		if e.State == zk.StateHasSession {
			break
		}
	}
	for i := range n {
		path, err := c.Create("/orders-", []byte("new"), zk.FlagSequence, zk.WorldACL(zk.PermAll))
		if err != nil {
			return nil, err
		}
		out["create"]++
		read := path
		if i%10 == 0 {
			read = "/missing"
		}
		_, _, err = c.Get(read)
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return nil, err
		}
		out.add("getData", err)
		if err := c.Delete(path, -1); err != nil {
			return nil, err
		}
		out["delete"]++
	}
	return out, nil
}
