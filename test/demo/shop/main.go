// shop is the two Go services of the microservice demo: one in front, that asks
// the others, and one that tells prices over gRPC. Not a line of tracing.
//
//	shop front PORT STOCK PRICES
//	shop prices PORT TAX
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// get asks another service over a pool of connections.
func get(ctx context.Context, url string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(b), err
}

func front(port, stock, prices string) error {
	conn, err := grpc.NewClient("127.0.0.1:"+prices, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	return http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		order := path.Base(q.URL.Path)
		left, err := get(q.Context(), "http://127.0.0.1:"+stock+"/stock/order/"+order)
		var price wrapperspb.StringValue
		if err == nil {
			err = conn.Invoke(q.Context(), "/demo.Prices/Get", wrapperspb.String(order), &price)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "order %s: %s, %s\n", order, left, price.Value)
	}))
}

func prices(port, tax string) error {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "demo.Prices",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var order wrapperspb.StringValue
			if err := decode(&order); err != nil {
				return nil, err
			}
			rate, err := get(ctx, "http://127.0.0.1:"+tax+"/tax/order/"+order.Value)
			return wrapperspb.String("12.00 + " + rate), err
		}}},
	}, nil)
	return s.Serve(l)
}

func main() {
	a := os.Args[1:]
	switch {
	case len(a) == 4 && a[0] == "front":
		log.Fatal(front(a[1], a[2], a[3]))
	case len(a) == 3 && a[0] == "prices":
		log.Fatal(prices(a[1], a[2]))
	}
	log.Fatal("usage: shop front PORT STOCK PRICES | shop prices PORT TAX")
}
