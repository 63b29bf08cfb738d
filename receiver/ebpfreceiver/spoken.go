package ebpfreceiver

import (
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/protocols"
	"github.com/hopscope/hopscope/internal/session"
	"github.com/hopscope/hopscope/internal/stream"
)

// ProtocolConfig is what is said of one protocol.
type ProtocolConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Ports are server ports on which this protocol is spoken and no other is
	// looked for; on ExcludePorts it is not looked for.
	Ports        []uint16 `mapstructure:"ports"`
	ExcludePorts []uint16 `mapstructure:"exclude_ports"`
	// Processes speak this protocol and no other; ExcludeProcesses do not.
	Processes        []string `mapstructure:"processes"`
	ExcludeProcesses []string `mapstructure:"exclude_processes"`

	_ struct{}
}

// Unmarshal makes `http: {ports: [81]}` leave the protocol on.
func (c *ProtocolConfig) Unmarshal(conf *confmap.Conf) error {
	c.Enabled = true
	return conf.Unmarshal(c)
}

func (c *Config) validateProtocols(p *problems) {
	known := protocols.All()
	ofPort, ofProcess := map[uint16]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Protocols)) {
		pc, key := c.Protocols[name], "protocols::"+name
		if !slices.ContainsFunc(known, func(q *l7.Protocol) bool { return q.Name == name }) {
			var list []string
			for _, q := range known {
				list = append(list, q.Name)
			}
			p.add(key, "no such protocol; there are %s", strings.Join(list, ", "))
		}
		if !pc.Enabled && len(pc.Ports)+len(pc.Processes) > 0 {
			p.add(key+"::enabled", "the protocol is off: set enabled: true or leave ports and processes out")
		}
		ports(p, key+"::ports", pc.Ports)
		ports(p, key+"::exclude_ports", pc.ExcludePorts)
		comms(p, key+"::processes", pc.Processes)
		comms(p, key+"::exclude_processes", pc.ExcludeProcesses)
		for _, port := range pc.Ports {
			if other := ofPort[port]; other != "" {
				p.add(key+"::ports", "%d is %s's already: one protocol is spoken on a port, or leave it to detection", port, other)
			}
			ofPort[port] = name
		}
		for _, comm := range pc.Processes {
			if other := ofProcess[comm]; other != "" {
				p.add(key+"::processes", "%q is %s's already: leave it to detection", comm, other)
			}
			ofProcess[comm] = name
		}
	}
}

// spoken is what the configuration says of connections: which protocol they
// speak, and which they do not. A port says more than a process, which may talk to
// many.
type spoken struct {
	port, notPort map[uint16][]*l7.Protocol
	comm, notComm map[string][]*l7.Protocol
}

// spoken is nil if the configuration says nothing.
func (c *Config) spoken(known []*l7.Protocol) *spoken {
	s := &spoken{map[uint16][]*l7.Protocol{}, map[uint16][]*l7.Protocol{}, map[string][]*l7.Protocol{}, map[string][]*l7.Protocol{}}
	for _, p := range known {
		pc := c.Protocols[p.Name]
		add(s.port, pc.Ports, p)
		add(s.notPort, pc.ExcludePorts, p)
		add(s.comm, pc.Processes, p)
		add(s.notComm, pc.ExcludeProcesses, p)
	}
	if len(s.port)+len(s.notPort)+len(s.comm)+len(s.notComm) == 0 {
		return nil
	}
	return s
}

func add[K comparable](to map[K][]*l7.Protocol, keys []K, p *l7.Protocol) {
	for _, k := range keys {
		to[k] = append(to[k], p)
	}
}

// judge is the engine's question; nil if the configuration says nothing.
func (s *spoken) judge() func(*stream.Conn) session.Judgement {
	if s == nil {
		return nil
	}
	return func(c *stream.Conn) (j session.Judgement) {
		ports := []uint16{c.B.Port(), c.A.Port()}
		if client, known := c.ClientDir(); known && client == stream.FromA {
			ports = ports[:1]
		} else if known {
			ports = ports[1:]
		}
		for _, port := range ports {
			j.Forbid = append(j.Forbid, s.notPort[port]...)
		}
		j.Forbid = append(j.Forbid, s.notComm[c.Comm]...)
		for _, port := range ports {
			if list := s.port[port]; len(list) > 0 {
				j.Force = list[0]
				return j
			}
		}
		if list := s.comm[c.Comm]; len(list) > 0 {
			j.Force = list[0]
		}
		return j
	}
}
