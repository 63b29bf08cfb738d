package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
)

// The own protocol is nobody's: frames of 64 bytes of noise that take turns.
const ownFrame = 64

func ownServer() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, ownFrame)
				for {
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
					if _, err := c.Write(noise(b)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), nil
}

// noise is made of b, so that every run is the same.
func noise(b []byte) []byte {
	one := sha256.Sum256(b)
	two := sha256.Sum256(one[:])
	return append(append(b[:0], one[:]...), two[:]...)
}

func ownClient(_ context.Context, addr string, n int) (counts, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := noise(make([]byte, ownFrame))
	for i := range n {
		if _, err := c.Write(b); err != nil {
			return nil, fmt.Errorf("frame %d: %w", i, err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return nil, fmt.Errorf("frame %d: %w", i, err)
		}
		b = noise(b)
	}
	return counts{"frames": n}, nil
}
