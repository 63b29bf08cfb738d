package protocols

import (
	"fmt"
	"testing"
)

// TestGRPC: each kind of method, and the messages of streams.
func TestGRPC(t *testing.T) {
	needs(t)
	port := peerServer(t, "grpc-server")
	c := watch(t, port)
	said := client(t, "grpc", fmt.Sprintf("127.0.0.1:%d", port), 200)
	count{
		"grpc test.Orders/Get 1/1 OK ok":                  said["Get"],
		"grpc test.Orders/Get 1/0 NOT_FOUND client_error": said["Get failed"],
		"grpc test.Orders/List 1/3 OK ok":                 said["List"],
		"grpc test.Orders/Sum 5/1 OK ok":                  said["Sum"],
		"grpc test.Orders/Chat 5/5 OK ok":                 said["Chat"],
		"grpc test.Orders/Chat 3/2 INTERNAL server_error": said["Chat failed"],
		"": 4 * 200,
	}.check(t, c)
}
