package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcachedClient: every tenth get finds nothing, and every tenth round adds one
// to a text, which is refused.
func memcachedClient(_ context.Context, addr string, n int) (counts, error) {
	c, out := memcache.New(addr), counts{}
	defer c.Close()
	for i := range n {
		key := fmt.Sprintf("key-%d", i%50)
		if err := c.Set(&memcache.Item{Key: key, Value: []byte("some text")}); err != nil {
			return nil, err
		}
		out["set"]++
		if i%10 == 0 {
			key = "missing"
			if _, err := c.Increment("key-0", 1); err == nil {
				return nil, errors.New("a text was added to")
			}
			out["incr failed"]++
		}
		switch _, err := c.Get(key); {
		case errors.Is(err, memcache.ErrCacheMiss):
			out["get miss"]++
		case err != nil:
			return nil, err
		default:
			out["get"]++
		}
	}
	keys := []string{"key-1", "key-2", "key-3", "none"}
	for range n / 10 {
		if m, err := c.GetMulti(keys); err != nil || len(m) != 3 {
			return nil, fmt.Errorf("get of several: %d, %w", len(m), err)
		}
		out["get"]++
	}
	return out, nil
}
