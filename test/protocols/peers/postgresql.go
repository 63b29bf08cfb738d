package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgresClient runs statements in each mode of the protocol, and in a
// pipeline; every tenth of them divides by zero. addr is a connection string.
func postgresClient(ctx context.Context, addr string, n int) (counts, error) {
	out := counts{}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		cfg, err := pgx.ParseConfig(addr)
		if err != nil {
			return nil, err
		}
		cfg.DefaultQueryExecMode = mode
		c, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return nil, err
		}
		for i := range n {
			var got int32
			err := c.QueryRow(ctx, "SELECT 100 / $1::int", int32(i%10)).Scan(&got)
			if err := expected(err, i%10 == 0); err != nil {
				return nil, fmt.Errorf("%v: %w", mode, err)
			}
			out.add("SELECT", err)
		}
		if mode == pgx.QueryExecModeCacheStatement {
			// Pipelines of five, each with its own Sync, of which none fails.
			for range n / 10 {
				var b pgx.Batch
				for i := range 5 {
					b.Queue("SELECT 7 + $1::int", int32(i))
				}
				if err := c.SendBatch(ctx, &b).Close(); err != nil {
					return nil, err
				}
				out["batched"] += 5
			}
		}
		if err := c.Close(ctx); err != nil {
			return nil, err
		}
		out["connect"]++
	}
	return out, nil
}

// expected: a division by zero, if there was to be one.
func expected(err error, failed bool) error {
	var e *pgconn.PgError
	switch {
	case !failed:
		return err
	case !errors.As(err, &e) || e.Code != "22012":
		return fmt.Errorf("not a division by zero: %w", err)
	}
	return nil
}
