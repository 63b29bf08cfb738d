// Peers are the clients and servers of the protocol tests:
//
//	peers CLIENT ADDRESS N   does what it does about N times, and prints what
//	                         its library says came of it, as JSON: name → count
//	peers SERVER             prints its address, and ends when its input does
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// counts is what happened, by the operation's name and its outcome.
type counts map[string]int

// add counts what an operation ended with.
func (c counts) add(name string, err error) {
	if err != nil {
		name += " failed"
	}
	c[name]++
}

var clients = map[string]func(ctx context.Context, addr string, n int) (counts, error){
	"amqp":       amqpClient,
	"grpc":       grpcClient,
	"kafka":      kafkaClient,
	"ldap":       ldapClient,
	"memcached":  memcachedClient,
	"mongodb":    mongodbClient,
	"mqtt":       mqttClient,
	"nats":       natsClient,
	"nats-burst": natsBurst,
	"own":        ownClient,
	"postgresql": postgresClient,
	"smtp":       smtpClient,
	"zmtp":       zmtpClient,
	"zookeeper":  zookeeperClient,

	"thrift-binary":  thriftClient("binary"),
	"thrift-framed":  thriftClient("framed"),
	"thrift-compact": thriftClient("compact"),
	"thrift-header":  thriftClient("header"),
}

var servers = map[string]func() (addr string, err error){
	"grpc-server":  grpcServer,
	"h2c-server":   h2cServer,
	"kafka-server": kafkaServer,
	"own-server":   ownServer,
	"smtp-server":  smtpServer,
	"zmtp-server":  zmtpServer,

	"thrift-binary-server":  thriftServer("binary"),
	"thrift-framed-server":  thriftServer("framed"),
	"thrift-compact-server": thriftServer("compact"),
	"thrift-header-server":  thriftServer("header"),
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && servers[args[0]] != nil {
		addr, err := servers[args[0]]()
		if err != nil {
			return err
		}
		fmt.Println(addr)
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	}
	if len(args) != 3 || clients[args[0]] == nil {
		return fmt.Errorf("unknown: %q", args)
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := clients[args[0]](ctx, args[1], n)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return json.NewEncoder(os.Stdout).Encode(c)
}
