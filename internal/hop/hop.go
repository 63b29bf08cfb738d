// Package hop holds what makes the same exchange recognisable wherever it is
// seen: capture points and their order, exchange keys, span ids.
package hop

// Point is a capture point: where on the path of an exchange it was observed.
// Order of the constants is path order.
type Point uint8

// Capture points from the client application to the server application.
const (
	Unknown       Point = iota
	ClientApp           // c-app: an APM span of the client
	ClientProcess       // c-p: socket or TLS hook
	ClientNIC           // c: pod veth, or the host's own interface
	ClientNode          // c-nd
	ClientHyper         // c-hv
	ClientGateway       // c-gw
	Local               // local: loopback, side unknown
	Rest                // rest: mirror port, side unknown
	ServerGateway       // s-gw
	ServerHyper         // s-hv
	ServerNode          // s-nd
	ServerNIC           // s
	ServerProcess       // s-p
	ServerApp           // s-app
)

// points is the one table of capture points.
var points = [...]struct {
	code, name string
	side       int8 // -1 client's, 0 unknown, 1 server's
}{
	Unknown:       {"", "", 0},
	ClientApp:     {"c-app", "Client Application", -1},
	ClientProcess: {"c-p", "Client Process", -1},
	ClientNIC:     {"c", "Client NIC", -1},
	ClientNode:    {"c-nd", "Client K8s Node", -1},
	ClientHyper:   {"c-hv", "Client Hypervisor", -1},
	ClientGateway: {"c-gw", "Client Gateway", -1},
	Local:         {"local", "Local NIC", 0},
	Rest:          {"rest", "Network", 0},
	ServerGateway: {"s-gw", "Server Gateway", 1},
	ServerHyper:   {"s-hv", "Server Hypervisor", 1},
	ServerNode:    {"s-nd", "Server K8s Node", 1},
	ServerNIC:     {"s", "Server NIC", 1},
	ServerProcess: {"s-p", "Server Process", 1},
	ServerApp:     {"s-app", "Server Application", 1},
}

// Code is the value of hopscope.capture.point.
func (p Point) Code() string { return points[p].code }

// String is the display name.
func (p Point) String() string { return points[p].name }

// OfClient reports whether p lies on the client's side of the path.
func (p Point) OfClient() bool { return points[p].side < 0 }

// OfServer reports whether p lies on the server's side of the path.
func (p Point) OfServer() bool { return points[p].side > 0 }

// OfClientHost reports whether p lies on the client's own host, where the
// trace of an exchange is known first: neither at a gateway between two hosts
// nor at the hypervisor below one.
func (p Point) OfClientHost() bool { return p >= ClientApp && p <= ClientNode }

// Process reports whether p is a process, seen by a hook, rather than a wire.
func (p Point) Process() bool { return p == ClientProcess || p == ServerProcess }

// Parse finds the point of a code; ok is false for anything else.
func Parse(code string) (p Point, ok bool) {
	for i := range points {
		if points[i].code == code && code != "" {
			return Point(i), true
		}
	}
	return Unknown, false
}
