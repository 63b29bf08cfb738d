package plugins

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// roleEnv makes the test's program one of the ends: "server KIND PORT" or "client
// KIND PORT ID".
const roleEnv = "HOPSCOPE_TEST_ROLE"

func TestMain(m *testing.M) {
	role := strings.Fields(os.Getenv(roleEnv))
	if len(role) == 0 {
		os.Exit(m.Run())
	}
	var err error
	switch role[0] + " " + role[1] {
	case "server grpc":
		err = serveGRPC(role[2])
	case "server dubbo":
		err = serve(role[2], dubboServer)
	case "server kv":
		err = serve(role[2], kvServer)
	case "client grpc":
		err = askGRPC(role[2], role[3])
	case "client dubbo":
		err = dial(role[2], func(c net.Conn) error { return askDubbo(c, role[3]) })
	case "client kv":
		err = dial(role[2], askKV)
	case "client http":
		err = askHTTP(role[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	time.Sleep(300 * time.Millisecond) // so that the receiver can read our name
	os.Exit(0)
}

// helper is one of the ends, under a name of its own.
func helper(name string, role ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+strings.Join(role, " "), "OTEL_SERVICE_NAME="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// server starts one and waits until it listens.
func server(t *testing.T, name, kind, port string) {
	t.Helper()
	cmd := helper(name, "server", kind, port)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close() // that is its end
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%s: %q, %v", name, line, err)
	}
}

func client(t *testing.T, name string, role ...string) {
	t.Helper()
	if err := helper(name, append([]string{"client"}, role...)...).Run(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// serve talks on each connection until standard input is closed.
func serve(port string, f func(net.Conn) error) error {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if err := f(c); err != nil && err != io.EOF {
					fmt.Fprintln(os.Stderr, err)
				}
			}()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func dial(port string, f func(net.Conn) error) error {
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return f(c)
}

// HTTP: three answers, all of them 200.

func askHTTP(port string) error {
	for _, path := range []string{"/pay/good", "/pay/bad", "/pay/long"} {
		r, err := http.Get("http://127.0.0.1:" + port + path)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
	}
	return nil
}

// gRPC: messages of which only the bytes are known.

type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (raw) Name() string                    { return "proto" }

func serveGRPC(port string) error {
	handle := func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in []byte
		if err := dec(&in); err != nil {
			return nil, err
		}
		return &[]byte{}, nil
	}
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Orders", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Create", Handler: handle}}}, struct{}{})
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go func() { _ = s.Serve(l) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func askGRPC(port, id string) error {
	c, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		return err
	}
	defer c.Close()
	// Something long before the field, so that it comes in a frame, and a call, of
	// its own.
	m := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), bytes.Repeat([]byte("x"), 3000))
	m = protowire.AppendString(protowire.AppendTag(m, 1235, protowire.BytesType), id)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out []byte
	return c.Invoke(ctx, "/shop.Orders/Create", &m, &out)
}

// Dubbo 2, with Hessian2.

func hessian(s string) string {
	if len(s) > 31 {
		return string([]byte{0x30 + byte(len(s)>>8), byte(len(s))}) + s
	}
	return string([]byte{byte(len(s))}) + s
}

func askDubbo(c net.Conn, id string) error {
	body := hessian("2.0.2") + hessian("com.shop.Orders") + hessian("1.0.0") + hessian("create") + hessian("Ljava/lang/String;") + hessian("an order") + "H"
	for _, kv := range [][2]string{{"path", "com.shop.Orders"}, {"_DUBBO_TRASACTION_ID", id}, {"request_id", "r-" + id}, {"entry_id", "e-7"}} {
		body += hessian(kv[0]) + hessian(kv[1])
	}
	body += "Z"
	head := binary.BigEndian.AppendUint64([]byte{0xda, 0xbb, 0xc2, 0}, 7)
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(head, uint32(len(body))), body...)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 16+6))
	return err
}

func dubboServer(c net.Conn) error {
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[12:]))); err != nil {
			return err
		}
		out := append([]byte{0xda, 0xbb, 0x02, 20}, head[4:12]...)
		out = append(binary.BigEndian.AppendUint32(out, 6), "\x91\x04fine"...)
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
}

// The private protocol: pipelines of three, cut in odd places, answered backwards.

const (
	kvRounds = 40
	kvPipe   = 3
)

func kv(kind, code byte, id uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'K', 'V', kind, code}, id)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

func askKV(c net.Conn) error {
	for i := range uint32(kvRounds) {
		var b []byte
		for k := range uint32(kvPipe) {
			id := i*kvPipe + k
			b = append(b, kv(1, byte(1+k), id, fmt.Sprintf("key/%d\x00%s", id, strings.Repeat("v", int(id)*7)))...)
		}
		for _, part := range [][]byte{b[:1+int(i)%len(b)], b[1+int(i)%len(b):]} {
			if _, err := c.Write(part); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		for range kvPipe {
			head := make([]byte, 12)
			if _, err := io.ReadFull(c, head); err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[8:]))); err != nil {
				return err
			}
		}
	}
	return nil
}

func kvServer(c net.Conn) error {
	for {
		var answers [][]byte
		for range kvPipe {
			head := make([]byte, 12)
			if _, err := io.ReadFull(c, head); err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[8:]))); err != nil {
				return err
			}
			id := binary.BigEndian.Uint32(head[4:])
			answers = append(answers, kv(2, byte(id%3), id, "answer"))
		}
		slices.Reverse(answers)
		if _, err := c.Write(bytes.Join(answers, nil)); err != nil {
			return err
		}
	}
}
