package ebpfreceiver

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/hopscope/hopscope/internal/kernel"
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/session"
)

// What follows turns a configuration that Validate has passed into what the
// stages want to be told.

func (c *Config) kernelConfig() kernel.Config {
	s := &c.Sockets
	var ignored problems // Validate has seen them
	return kernel.Config{
		RingBytes: s.RingSize, MaxCapture: s.MaxCapture, MaxBurst: s.MaxBurst, Rows: s.Hooks, NoUDP: !s.UDP, NoUnix: !s.Unix,
		GoUprobes: c.Golang.Uprobes == modeAuto,
		Filter: kernel.Filter{
			Ports: s.Include.Ports, ExcludePorts: s.Exclude.Ports,
			CIDRs: prefixes(&ignored, "", s.Include.CIDRs), ExcludeCIDRs: prefixes(&ignored, "", s.Exclude.CIDRs),
			Names: s.Include.Processes, ExcludeNames: s.Exclude.Processes,
			Cgroups: s.Include.Cgroups, ExcludeCgroups: s.Exclude.Cgroups,
			Containers: s.Include.Containers, NetNS: s.Include.NetNS,
		},
	}
}

// wantedPair judges datagrams of unconnected sockets; nil if nothing is narrowed.
func (c *Config) wantedPair() func(local, remote netip.AddrPort) bool {
	f := c.kernelConfig().Filter
	if len(f.Ports)+len(f.ExcludePorts)+len(f.CIDRs)+len(f.ExcludeCIDRs) == 0 {
		return nil
	}
	return f.Pair
}

func (c *Config) sessionConfig(known []*l7.Protocol) session.Config {
	out := session.Config{Options: c.options(), Timeout: c.SessionTimeout, Payload: c.payload(), Contain: true}
	for _, p := range known {
		pc, said := c.Protocols[p.Name]
		if said && !pc.Enabled {
			continue
		}
		out.Protocols = append(out.Protocols, p)
	}
	return out
}

func (c *Config) payload() int {
	if c.Payload.MaxBytes == 0 && len(c.Unparsed.Ports)+len(c.Unparsed.Processes) > 0 {
		return pluginPayload
	}
	return c.Payload.MaxBytes
}

func (c *Config) options() *l7.Options {
	o := l7.DefaultOptions()
	o.Propagation = l7.NewPropagation(c.Headers.TraceIDs, c.Headers.RequestIDs)
	o.RequestHeaders, o.ResponseHeaders = lower(c.Headers.CaptureRequest), lower(c.Headers.CaptureResponse)
	o.KeepLiterals = c.KeepLiterals
	o.Rules = c.rules()
	for _, r := range c.Routes {
		o.Paths.Patterns = append(o.Paths.Patterns, l7.PathPattern{Match: regexp.MustCompile(r.Match), Route: r.Route})
	}
	return o
}

func lower(list []string) map[string]bool {
	out := map[string]bool{}
	for _, n := range list {
		out[strings.ToLower(n)] = true
	}
	return out
}
