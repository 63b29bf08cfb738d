package tracecompletionprocessor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/processor/tracecompletionprocessor/internal/links"
	"github.com/hopscope/hopscope/test/rig"
)

// redisServer starts a Redis that keeps nothing, on a port of its own, or skips.
func redisServer(t testing.TB, args ...string) *rig.Server {
	t.Helper()
	if err := rig.Missing("redis-server"); err != nil {
		t.Skip(err)
	}
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "PORT", fmt.Sprint(port))
	}
	if len(args) == 0 || args[0] != "--sentinel" {
		args = append([]string{"--port", fmt.Sprint(port)}, args...)
		args = append(args, "--save", "", "--appendonly", "no", "--loglevel", "warning")
	}
	args = append(args, "--dir", t.TempDir(), "--bind", "127.0.0.1", "--daemonize", "no")
	s, err := rig.Serve(port, "redis-server", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// opened is a store as the configuration makes it.
func opened(t testing.TB, change func(*LinksConfig)) links.Store {
	t.Helper()
	c := createDefaultConfig().(*Config)
	c.Links.Store = storeRedis
	change(&c.Links)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newStore(context.Background(), &c.Links)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// carries puts n entries by one store and wants all of them from another.
func carries(a, b links.Store, from, n int) error {
	keys, entries := make([]links.Key, n), make([]links.Entry, n)
	for i := range keys {
		keys[i] = links.Exchange(hop.Key(from + i + 1))
		entries[i] = links.Entry{Key: keys[i], Trace: links.Trace{ID: hop.TraceID(hop.Key(from + i)), Provisional: true}}
	}
	a.Put(entries)
	return rig.Until(10*time.Second, func() error {
		out := make([]links.Trace, n)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := b.Get(ctx, keys, out); err != nil {
			return err
		}
		for i, t := range out {
			if t != entries[i].Trace {
				return fmt.Errorf("entry %d is %v", i, t)
			}
		}
		return nil
	})
}

// TestRedisCluster: three nodes share the keys.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	var nodes []string
	var clients []*redis.Client
	var ports []string
	for range 3 {
		bus, err := rig.Port()
		if err != nil {
			t.Fatal(err)
		}
		s := redisServer(t, "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus))
		nodes, ports = append(nodes, s.Addr()), append(ports, fmt.Sprint(bus))
		c := redis.NewClient(&redis.Options{Addr: s.Addr()})
		defer c.Close()
		clients = append(clients, c)
	}
	ctx := context.Background()
	for i, c := range clients {
		if err := c.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", i*5462, min(16383, i*5462+5461)).Err(); err != nil {
			t.Fatal(err)
		}
		_, port, _ := strings.Cut(nodes[i], ":")
		if err := clients[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", port, ports[i]).Err(); err != nil && i > 0 {
			t.Fatal(err)
		}
	}
	err := rig.Until(30*time.Second, func() error {
		for _, c := range clients {
			info, err := c.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return fmt.Errorf("the cluster is not up: %v %.100s", err, info)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	open := func() links.Store {
		return opened(t, func(c *LinksConfig) { c.Redis.Mode, c.Redis.Endpoints = modeCluster, nodes[:2] })
	}
	if err := carries(open(), open(), 0, 5000); err != nil {
		t.Error(err)
	}
	for i, c := range clients {
		if n, err := c.DBSize(ctx).Result(); err != nil || n < 1000 {
			t.Errorf("node %d has %d keys, %v", i, n, err)
		}
	}
}

// TestRedisSentinel: the sentinel names the master; when that dies, the replica
// takes its place and links go on.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := redisServer(t)
	replica := redisServer(t, "--replicaof", "127.0.0.1", fmt.Sprint(master.Port))
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	port, err := rig.Port()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor links 127.0.0.1 %d 1\nsentinel down-after-milliseconds links 500\nsentinel failover-timeout links 2000\n", port, master.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel, err := rig.Serve(port, "redis-server", conf, "--sentinel", "--dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sentinel.Kill)
	ask := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr()})
	defer ask.Close()
	err = rig.Until(30*time.Second, func() error { // the replica is in step, and the sentinel knows it
		m, err := ask.Master(context.Background(), "links").Result()
		if err == nil && m["num-slaves"] != "1" {
			err = fmt.Errorf("%s replicas are known", m["num-slaves"])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	open := func() links.Store {
		return opened(t, func(c *LinksConfig) {
			c.Redis.Mode, c.Redis.Master, c.Redis.Endpoints = modeSentinel, "links", []string{sentinel.Addr()}
		})
	}
	a, b := open(), open()
	if err := carries(a, b, 0, 1000); err != nil {
		t.Fatal(err)
	}
	master.Kill()
	from := 1000
	err = rig.Until(60*time.Second, func() error {
		addr, err := ask.GetMasterAddrByName(context.Background(), "links").Result()
		if err == nil && (len(addr) != 2 || addr[1] != fmt.Sprint(replica.Port)) {
			err = fmt.Errorf("the master is %v", addr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = rig.Until(30*time.Second, func() error {
		from += 1000
		return carries(a, b, from, 1000)
	})
	if err != nil {
		t.Errorf("after the replica took over: %v", err)
	}
}

// TestRedisTLS: by TLS, as a user that may do what is needed and no more.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	acl := filepath.Join(dir, "users.acl")
	if err := os.WriteFile(acl, []byte("user default off\nuser hopscope on >secret ~links:* +set +get +mget +ping\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s := redisServer(t, "--port", "0", "--tls-port", "PORT", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no", "--aclfile", acl)
	open := func(change func(*RedisConfig)) links.Store {
		return opened(t, func(c *LinksConfig) {
			r := &c.Redis
			r.Endpoints, r.Prefix, r.Username, r.Password = []string{s.Addr()}, "links:", "hopscope", "secret"
			r.TLS.Insecure, r.TLS.CAFile, r.TLS.ServerName = false, cert, "redis.test"
			change(r)
		})
	}
	same := func(*RedisConfig) {}
	if err := carries(open(same), open(same), 0, 2000); err != nil {
		t.Error(err)
	}
	refused := func(name string, change func(*RedisConfig)) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := open(change).Get(ctx, []links.Key{links.Exchange(1)}, make([]links.Trace, 1)); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	refused("wrong password", func(r *RedisConfig) { r.Password = configopaque.String("wrong") })
	refused("keys that the user may not see", func(r *RedisConfig) { r.Prefix = "other:" })
	refused("another name in the certificate", func(r *RedisConfig) { r.TLS.ServerName = "elsewhere.test" })
	refused("without TLS", func(r *RedisConfig) { r.TLS.Insecure = true; r.TLS.CAFile, r.TLS.ServerName = "", "" })
}

// certificate writes one for redis.test that vouches for itself.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.test"}, DNSNames: []string{"redis.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: private}} {
		var out bytes.Buffer
		if err := pem.Encode(&out, b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
