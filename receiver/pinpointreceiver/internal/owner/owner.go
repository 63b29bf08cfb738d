// Package owner finds the local process at one end of a TCP connection, and what
// its command line and environment say of the Pinpoint agent in it.
//
// It reads /proc and is slow: it is for the few connections that do not say whose
// they are. Of environments nothing is kept but the agent's names.
package owner

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Agent is what a process was started with; "" if it was not told.
type Agent struct {
	PID int
	// Started is when the process began, in ms since 1970, to the second; 0: not
	// known.
	Started                         int64
	AgentID, AgentName, Application string
	// Peers are the local ends of the other connections of the process.
	Peers []netip.AddrPort
}

// Limits of one search.
const (
	maxNamespaces = 64
	maxProcesses  = 65536
	maxText       = 1 << 20 // of a command line or an environment
)

// ErrNone: no process here has the connection.
var ErrNone = errors.New("no process of this host has the connection")

// Find is the process whose connection has the ends local and remote. proc is
// /proc.
func Find(proc string, local, remote netip.AddrPort) (Agent, error) {
	pids, err := processes(proc)
	if err != nil {
		return Agent{}, err
	}
	seen := map[string]bool{}
	for _, pid := range pids {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		ns, err := os.Readlink(filepath.Join(dir, "ns/net"))
		if err != nil || seen[ns] || len(seen) >= maxNamespaces {
			continue
		}
		seen[ns] = true
		socks := sockets(dir)
		inode := ""
		for _, s := range socks {
			if s.local == unmap(local) && s.remote == unmap(remote) {
				inode = s.inode
			}
		}
		if inode == "" {
			continue
		}
		// Its descriptors may be those of several processes: forks share them.
		var found []int
		for _, p := range pids {
			if has(filepath.Join(proc, strconv.Itoa(p)), inode) {
				found = append(found, p)
			}
		}
		if len(found) != 1 {
			return Agent{}, fmt.Errorf("%d processes have the connection %s: %w", len(found), local, ErrNone)
		}
		return agent(proc, found[0], socks, inode), nil
	}
	return Agent{}, ErrNone
}

func processes(proc string) (pids []int, err error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && len(pids) < maxProcesses {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

type socket struct {
	local, remote netip.AddrPort
	inode         string
}

// sockets are the TCP connections of the network namespace of the process in dir.
func sockets(dir string) (out []socket) {
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			// sl local remote st tx:rx tr:when retrnsmt uid timeout inode
			c := strings.Fields(s.Text())
			if len(c) < 10 {
				continue
			}
			local, ok1 := address(c[1])
			remote, ok2 := address(c[2])
			if ok1 && ok2 && c[9] != "0" {
				out = append(out, socket{local, remote, c[9]})
			}
		}
		f.Close()
	}
	return out
}

// address reads 0100007F:2703: words in the order of the host, which is little
// endian on all machines that we run on.
func address(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, ok := netip.AddrFromSlice(b)
	return unmap(netip.AddrPortFrom(a, uint16(n))), ok
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// inodes are the sockets that the process in dir has open.
func inodes(dir string) map[string]bool {
	out := map[string]bool{}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil {
			if in, ok := strings.CutPrefix(to, "socket:["); ok {
				out[strings.TrimSuffix(in, "]")] = true
			}
		}
	}
	return out
}

func has(dir, inode string) bool { return inodes(dir)[inode] }

func agent(proc string, pid int, socks []socket, not string) Agent {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	a := Agent{PID: pid, Started: started(proc, pid)}
	mine := inodes(dir)
	for _, s := range socks {
		if mine[s.inode] && s.inode != not {
			a.Peers = append(a.Peers, s.local)
		}
	}
	set := func(to *string, v string) {
		if *to == "" {
			*to = v
		}
	}
	// The command line wins, as it does for the Java agent.
	for _, arg := range texts(filepath.Join(dir, "cmdline")) {
		k, v, _ := strings.Cut(arg, "=")
		switch k {
		case "-Dpinpoint.agentId":
			set(&a.AgentID, v)
		case "-Dpinpoint.agentName":
			set(&a.AgentName, v)
		case "-Dpinpoint.applicationName":
			set(&a.Application, v)
		}
	}
	for _, arg := range texts(filepath.Join(dir, "environ")) {
		k, v, _ := strings.Cut(arg, "=")
		switch k {
		case "PINPOINT_AGENT_ID", "PINPOINT_GO_AGENTID":
			set(&a.AgentID, v)
		case "PINPOINT_AGENT_NAME", "PINPOINT_GO_AGENTNAME":
			set(&a.AgentName, v)
		case "PINPOINT_APPLICATION_NAME", "PINPOINT_GO_APPLICATIONNAME":
			set(&a.Application, v)
		}
	}
	return a
}

// ticks a second: what the kernel tells user space, on all machines that we run
// on (sysconf(_SC_CLK_TCK)).
const ticks = 100

func started(proc string, pid int) int64 {
	stat, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// pid (comm) state ...: the 22nd is the start, in ticks since the boot.
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(f) < 20 {
		return 0
	}
	since, err := strconv.ParseInt(f[19], 10, 64)
	if err != nil {
		return 0
	}
	host, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(host)) {
		if v, ok := strings.CutPrefix(line, "btime "); ok {
			if boot, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
				return boot*1000 + since*1000/ticks
			}
		}
	}
	return 0
}

// texts are the strings in a file of /proc, each ended by a zero.
func texts(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, maxText)
	n := 0
	for n < len(b) {
		k, err := f.Read(b[n:])
		n += k
		if err != nil {
			break
		}
	}
	return strings.Split(string(b[:n]), "\x00")
}
