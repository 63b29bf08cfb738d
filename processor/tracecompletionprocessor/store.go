package tracecompletionprocessor

import (
	"context"
	"fmt"
	"slices"

	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/links"
)

// newStore opens the link table that the configuration names, nil for none.
func newStore(ctx context.Context, c *LinksConfig) (links.Store, error) {
	if c.Store != storeRedis {
		return nil, nil // one collector sees everything: its own memory is the table
	}
	r := &c.Redis
	tls, err := r.TLS.LoadTLSConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("links::redis::tls: %w", err)
	}
	s := links.RedisSettings{
		// A copy: the client of a cluster appends to it the nodes that it finds.
		Addresses: slices.Clone(r.Endpoints), Cluster: r.Mode == modeCluster, Username: r.Username, Password: string(r.Password),
		SentinelPassword: string(r.SentinelPassword), DB: r.DB, TLS: tls, Prefix: r.Prefix, TTL: c.TTL, Queue: r.Queue,
	}
	if r.Mode == modeSentinel {
		s.Master = r.Master
	}
	return links.NewRedis(s), nil
}
