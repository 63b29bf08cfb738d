package main

import (
	"fmt"
	"net"
	"net/http"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

// h2cServer speaks HTTP/1 until a client asks for HTTP/2.
func h2cServer() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/orders/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "open") })
	go http.Serve(l, h2c.NewHandler(mux, &http2.Server{}))
	return l.Addr().String(), nil
}
