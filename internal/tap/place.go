package tap

import (
	"path"

	"github.com/hopscope/hopscope/internal/hop"
	"github.com/hopscope/hopscope/internal/packet"
)

// Kind is what an interface is, as far as it tells where it lies.
type Kind uint8

// Kinds.
const (
	KindNode     Kind = iota // the node's own: physical, bond, bridge, tunnel
	KindPod                  // the node's end of a veth: its other end is a pod's
	KindInside               // an interface in a pod's own namespace
	KindLoopback             //
	KindMirror               // sees others' traffic: the side is unknown
	KindGateway              // of a router or balancer: chosen by configuration
	KindHyper                // of a hypervisor: chosen by configuration
)

var kinds = map[string]Kind{"node": KindNode, "pod": KindPod, "nic": KindInside, "local": KindLoopback, "rest": KindMirror,
	"gateway": KindGateway, "hypervisor": KindHyper}

// ParseKind finds the kind of a configured name.
func ParseKind(name string) (k Kind, ok bool) {
	k, ok = kinds[name]
	return k, ok
}

// Point is the capture point of a connection on an interface of this kind,
// whose client's packets go that way over it.
func (k Kind) Point(client packet.Way) hop.Point {
	out := client == packet.WayOut
	switch {
	case k == KindLoopback:
		return hop.Local
	case k == KindMirror || client == packet.WayUnknown:
		return hop.Rest
	}
	pair := [2]hop.Point{hop.ServerNode, hop.ClientNode} // in, out
	switch k {
	case KindPod: // what comes in over the node's end was sent by the pod
		pair = [2]hop.Point{hop.ClientNIC, hop.ServerNIC}
	case KindInside:
		pair = [2]hop.Point{hop.ServerNIC, hop.ClientNIC}
	case KindGateway: // towards the client its packets come in
		pair = [2]hop.Point{hop.ClientGateway, hop.ServerGateway}
	case KindHyper:
		pair = [2]hop.Point{hop.ServerHyper, hop.ClientHyper}
	}
	if out {
		return pair[1]
	}
	return pair[0]
}

// matchAny reports whether name fits one of the patterns.
func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return false
}
