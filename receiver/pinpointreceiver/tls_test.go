package pinpointreceiver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// TestTLS: agents with TLS are answered, those without are not.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, stop := run(t, config(t, map[string]any{"grpc": map[string]any{"agent": map[string]any{"endpoint": "127.0.0.1:0",
		"tls": map[string]any{"cert_file": filepath.Join(dir, "cert.pem"), "key_file": filepath.Join(dir, "key.pem")}}}}))
	defer stop()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	for _, c := range []struct {
		with credentials.TransportCredentials
		ok   bool
	}{{credentials.NewClientTLSFromCert(pool, ""), true}, {insecure.NewCredentials(), false}} {
		cc, err := grpc.NewClient(r.addrs[0].String(), grpc.WithTransportCredentials(c.with), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
		if err != nil {
			t.Fatal(err)
		}
		var in, out []byte
		err = cc.Invoke(metadata.NewOutgoingContext(t.Context(), metadata.Pairs("agentid", "a", "starttime", "1")), agentInfo, &in, &out)
		if (err == nil) != c.ok || c.ok && string(out) != string(success) {
			t.Errorf("%q, %v", out, err)
		}
		cc.Close()
	}
}

// TestStreams: a ping is echoed each time, a command stream stays open and silent,
// and streams of spans and statistics end with an answer when the agent ends them;
// all while the agent pings the connection as often as agents do.
func TestStreams(t *testing.T) {
	r, stop := run(t, config(t, map[string]any{"grpc": map[string]any{"agent": map[string]any{"endpoint": "127.0.0.1:0"}}}))
	defer stop()
	k := r.cfg.GRPC.Agent.Get().Keepalive.Get().EnforcementPolicy.Get()
	if k.MinTime > 20*time.Second || !k.PermitWithoutStream {
		t.Errorf("Go agents ping every 30 s, without streams too: %+v", k)
	}
	cc, err := grpc.NewClient(r.addrs[0].String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})), grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs("agentid", "a", "starttime", "1", "socketid", "1"))
	open := func(method string) grpc.ClientStream {
		s, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ping := open(pingSession)
	for range 5 {
		var b []byte
		if err := errors.Join(ping.SendMsg(&empty), ping.RecvMsg(&b)); err != nil || len(b) != 0 {
			t.Fatalf("ping: %q, %v", b, err)
		}
	}
	for _, method := range []string{handleCommand, handleCommandV2} {
		s := open(method)
		if err := s.SendMsg(&empty); err != nil {
			t.Fatal(err)
		}
		heard := make(chan error, 1)
		go func() {
			var b []byte
			heard <- s.RecvMsg(&b)
		}()
		select {
		case err := <-heard:
			t.Errorf("%s ended, or said something: %v", method, err)
		case <-time.After(100 * time.Millisecond):
		}
		s.CloseSend()
		if err := <-heard; !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, method := range []string{sendSpan, sendStat, commandCount} {
		s := open(method)
		s.CloseSend()
		var b []byte
		if err := s.RecvMsg(&b); err != nil || len(b) != 0 {
			t.Errorf("%s: %q, %v", method, b, err)
		}
	}
}
