package e2e

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// The receiver captures no traffic of its own process, which is the test's: what
// tests want to say that no program says for them, this binary says as another
// process.
const (
	clientEnv = "HOPSCOPE_TEST_CLIENT"      // its name in clients
	serverEnv = "HOPSCOPE_TEST_CLIENT_ADDR" // host:port that it talks to
	countEnv  = "HOPSCOPE_TEST_CLIENT_COUNT"
)

var clients = map[string]func(addr string, n int) error{
	"statements": statements, "pipeline": pipeline, "uring server": uringServer, "uring client": uringClient,
}

func TestMain(m *testing.M) {
	name := os.Getenv(clientEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	n, err := strconv.Atoi(os.Getenv(countEnv))
	if err == nil {
		err = clients[name](os.Getenv(serverEnv), n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// client runs one of clients to its end. as is the command it is run with, if not
// alone.
func client(t *testing.T, name, addr string, n int, as ...string) {
	t.Helper()
	args := append(as, "/proc/self/exe")
	if len(as) > 0 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		args[len(as)] = self
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), clientEnv+"="+name, serverEnv+"="+addr, countEnv+"="+strconv.Itoa(n))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// statements has n text statements, every tenth of which fails, then n prepared
// ones, answered by MySQL.
func statements(addr string, n int) error {
	db, err := sql.Open("mysql", "root@tcp("+addr+")/")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var got int
	for i := range n {
		if i%10 == 0 {
			var e *mysql.MySQLError
			if err := db.QueryRow("SELECT x FROM shop.missing").Scan(&got); !errors.As(err, &e) {
				return fmt.Errorf("statement %d: %w", i, err)
			}
			continue
		}
		if err := db.QueryRow(fmt.Sprintf("SELECT %d + 1", i)).Scan(&got); err != nil || got != i+1 {
			return fmt.Errorf("statement %d: %d, %w", i, got, err)
		}
	}
	s, err := db.Prepare("SELECT ? + 2")
	if err != nil {
		return err
	}
	for i := range n {
		if err := s.QueryRow(i).Scan(&got); err != nil || got != i+2 {
			return fmt.Errorf("execution %d: %d, %w", i, got, err)
		}
	}
	return s.Close()
}

// pipelineConns is how many connections pipeline has; each sends 16 commands at
// once and waits for their answers, as redis-benchmark -P 16 does. (That one ends
// at the first error.)
const (
	pipelineConns = 16
	pipelineDepth = 16
)

// pipeline sends n commands to Redis: of every eight, one is refused (INCR of the
// text), two are SETs of different sizes, the others GETs.
func pipeline(addr string, n int) error {
	done := make(chan error, pipelineConns)
	for k := range pipelineConns {
		go func() { done <- pipelineOne(addr, k, n/pipelineConns/pipelineDepth) }()
	}
	var errs []error
	for range pipelineConns {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

func pipelineOne(addr string, seed, batches int) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	var ask bytes.Buffer
	for b := range batches {
		ask.Reset()
		refused := 0
		for i := range pipelineDepth {
			switch k := seed + b*pipelineDepth + i; k % 8 {
			case 0:
				ask.WriteString("*2\r\n$4\r\nINCR\r\n$4\r\ntext\r\n")
				refused++
			case 3, 6:
				v := strings.Repeat("v", k*7%120+1)
				fmt.Fprintf(&ask, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%s\r\n", len(v), v)
			default:
				ask.WriteString("*2\r\n$3\r\nGET\r\n$6\r\nabsent\r\n")
			}
		}
		if _, err := c.Write(ask.Bytes()); err != nil {
			return err
		}
		for range pipelineDepth {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			switch line[0] {
			case '-':
				refused--
			case '+':
			case '$':
				if line != "$-1\r\n" {
					return fmt.Errorf("answer %q", line)
				}
			default:
				return fmt.Errorf("answer %q", line)
			}
		}
		if refused != 0 {
			return fmt.Errorf("batch %d: %d commands more refused than answered so", b, refused)
		}
	}
	if _, err := c.Write([]byte("*1\r\n$4\r\nQUIT\r\n")); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}
