package links

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisSettings say where the shared store is.
type RedisSettings struct {
	// Addresses: one for a single server, several for a cluster, the sentinels'
	// with Master set.
	Addresses          []string
	Master             string
	Cluster            bool
	Username, Password string
	SentinelPassword   string
	DB                 int
	TLS                *tls.Config
	Prefix             string
	TTL                time.Duration
	// Queue bounds the batches waiting to be written.
	Queue int
}

// Redis is a Store in Redis 6 or later, or Valkey.
type Redis struct {
	c       redis.UniversalClient
	cluster bool
	prefix  string
	ttl     time.Duration
	queue   chan []Entry
	done    chan struct{}
	stop    sync.Once

	puts, putErrors, putDropped, gets, hits, getErrors atomic.Uint64
}

// silent keeps the client from printing a line per failed dial: failures are
// counted.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// writeTimeout bounds one pipelined write. It is generous: nobody waits for it.
const writeTimeout = time.Second

// NewRedis connects lazily: a store that is away now may come.
func NewRedis(s RedisSettings) *Redis {
	o := &redis.UniversalOptions{
		Addrs: s.Addresses, MasterName: s.Master, Username: s.Username, Password: s.Password,
		SentinelPassword: s.SentinelPassword, DB: s.DB, TLSConfig: s.TLS, IsClusterMode: s.Cluster,
		MaxRetries: -1, DialTimeout: time.Second, ContextTimeoutEnabled: true,
		DisableIdentity: true,
	}
	redis.SetLogger(silent{})
	r := &Redis{c: redis.NewUniversalClient(o), cluster: s.Cluster, prefix: s.Prefix, ttl: s.TTL, queue: make(chan []Entry, max(1, s.Queue)), done: make(chan struct{})}
	go r.write()
	return r
}

// Put queues entries for the writer.
func (r *Redis) Put(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	select {
	case r.queue <- entries:
	default:
		r.putDropped.Add(uint64(len(entries)))
	}
}

// maxPipeline bounds the commands of one round trip.
const maxPipeline = 4096

func (r *Redis) write() {
	defer close(r.done)
	for batch := range r.queue {
		for more := true; more && len(batch) < maxPipeline; {
			select {
			case b, ok := <-r.queue:
				if !ok {
					more = false
					break
				}
				batch = append(batch, b...)
			default:
				more = false
			}
		}
		for len(batch) > 0 {
			n := min(len(batch), maxPipeline)
			r.flush(batch[:n])
			batch = batch[n:]
		}
	}
}

func (r *Redis) flush(batch []Entry) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	p := r.c.Pipeline()
	for _, e := range batch {
		// A provisional trace never takes the place of a definite one.
		if e.Trace.Provisional {
			p.SetNX(ctx, r.name(e.Key), encode(e.Trace), r.ttl)
		} else {
			p.Set(ctx, r.name(e.Key), encode(e.Trace), r.ttl)
		}
	}
	if _, err := p.Exec(ctx); err != nil {
		r.putErrors.Add(uint64(len(batch)))
		return
	}
	r.puts.Add(uint64(len(batch)))
}

// Get looks keys up in one pipelined round trip.
func (r *Redis) Get(ctx context.Context, keys []Key, out []Trace) error {
	if len(keys) == 0 {
		return nil
	}
	r.gets.Add(uint64(len(keys)))
	get := r.together
	if r.cluster {
		get = r.oneByOne
	}
	if err := get(ctx, keys, out); err != nil {
		r.getErrors.Add(uint64(len(keys)))
		return fmt.Errorf("look up %d links: %w", len(keys), err)
	}
	hits := 0
	for i := range keys {
		if out[i].ID != [16]byte{} {
			hits++
		}
	}
	r.hits.Add(uint64(hits))
	return nil
}

// maxTogether bounds the keys of one MGET: Redis serves nobody else meanwhile.
const maxTogether = 512

// together asks for many keys by one command: a third of the cost of one each.
func (r *Redis) together(ctx context.Context, keys []Key, out []Trace) error {
	p := r.c.Pipeline()
	var cmds []*redis.SliceCmd
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = r.name(k)
	}
	for c := range slices.Chunk(names, maxTogether) {
		cmds = append(cmds, p.MGet(ctx, c...))
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	i := 0
	for _, c := range cmds {
		for _, v := range c.Val() {
			if s, ok := v.(string); ok {
				out[i], _ = decode(s)
			}
			i++
		}
	}
	return nil
}

// oneByOne is for clusters: the keys of one command must be on one node.
func (r *Redis) oneByOne(ctx context.Context, keys []Key, out []Trace) error {
	p := r.c.Pipeline()
	cmds := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		cmds[i] = p.Get(ctx, r.name(k))
	}
	if _, err := p.Exec(ctx); err != nil && err != redis.Nil {
		return err
	}
	for i, c := range cmds {
		if c.Err() == nil {
			out[i], _ = decode(c.Val())
		}
	}
	return nil
}

func (r *Redis) name(k Key) string {
	n := 16
	if k.kind == kindExchange {
		n = 8
	}
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(r.prefix)+2+2*n)
	b = append(append(b, r.prefix...), k.kind, ':')
	for _, c := range k.id[:n] {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return string(b)
}

// encode: the id's 16 bytes, then one byte: 1 provisional, 0 definite.
func encode(t Trace) []byte {
	b := make([]byte, 17)
	copy(b, t.ID[:])
	if t.Provisional {
		b[16] = 1
	}
	return b
}

// decode takes nothing that is not of encode's making: the store is shared.
func decode(b string) (t Trace, ok bool) {
	if len(b) != 17 || b[16] > 1 {
		return t, false
	}
	copy(t.ID[:], b)
	t.Provisional = b[16] == 1 && t.ID != [16]byte{}
	return t, t.ID != [16]byte{}
}

// Stats is a copy of the counters.
func (r *Redis) Stats() Stats {
	return Stats{Puts: r.puts.Load(), PutErrors: r.putErrors.Load(), PutDropped: r.putDropped.Load(),
		Gets: r.gets.Load(), Hits: r.hits.Load(), GetErrors: r.getErrors.Load()}
}

// Close writes what is queued and lets go.
func (r *Redis) Close(ctx context.Context) error {
	r.stop.Do(func() { close(r.queue) })
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	return r.c.Close()
}
