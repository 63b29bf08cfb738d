// goapp is the Go servers of the causality tests: the backend that all others
// call, and a net/http server with a keep-alive client, Redis, and a fan-out.
//
//	goapp backend PORT
//	goapp server PORT BACKEND REDIS
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path"
	"sync"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: goapp backend|server PORT [BACKEND REDIS]")
	}
	addr := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "backend" {
		log.Fatal(http.ListenAndServe(addr, http.HandlerFunc(backend)))
	}
	s := &server{backend: "http://127.0.0.1:" + os.Args[3], redis: "127.0.0.1:" + os.Args[4],
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 1024}}}
	log.Fatal(http.ListenAndServe(addr, s))
}

// backend answers after a while, so that requests overtake each other.
func backend(w http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	body := path.Base(r.URL.Path) + "!" + r.Header.Get("X-Nonce")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	io.WriteString(w, body)
}

type server struct {
	backend, redis string
	client         *http.Client
	mu             sync.Mutex
	idle           []net.Conn
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nonce := path.Base(r.URL.Path)
	s.cache(nonce)
	s.get("/up/" + nonce)
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() { s.cache(nonce) })
	}
	wait.Wait()
	io.WriteString(w, nonce)
}

func (s *server) get(p string) {
	r, err := s.client.Get(s.backend + p)
	if err != nil {
		return
	}
	io.Copy(io.Discard, r.Body)
	r.Body.Close()
}

// cache asks Redis in the goroutine that calls it, over a pooled connection.
func (s *server) cache(nonce string) {
	s.mu.Lock()
	var c net.Conn
	if n := len(s.idle); n > 0 {
		c, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if c == nil {
		var err error
		if c, err = net.Dial("tcp", s.redis); err != nil {
			return
		}
	}
	fmt.Fprintf(c, "*2\r\n$3\r\nGET\r\n$%d\r\nk:%s\r\n", len(nonce)+2, nonce)
	bufio.NewReader(c).ReadString('\n')
	s.mu.Lock()
	s.idle = append(s.idle, c)
	s.mu.Unlock()
}
