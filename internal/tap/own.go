package tap

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ownEnds are the local ends of this process's TCP connections. proc is
// /proc/self.
func ownEnds(proc string) ([]netip.AddrPort, error) {
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return nil, err
	}
	inodes := map[string]bool{}
	for _, fd := range fds {
		to, err := os.Readlink(proc + "/fd/" + fd.Name())
		if err == nil && strings.HasPrefix(to, "socket:[") {
			inodes[strings.TrimSuffix(to[len("socket:["):], "]")] = true
		}
	}
	var out []netip.AddrPort
	if len(inodes) == 0 {
		return nil, nil
	}
	for _, name := range [...]string{"/net/tcp", "/net/tcp6"} {
		f, err := os.Open(proc + name)
		if err != nil {
			continue // no IPv6
		}
		for sc := bufio.NewScanner(f); sc.Scan(); {
			w := strings.Fields(sc.Text())
			if len(w) < 10 || w[3] == listening || !inodes[w[9]] {
				continue
			}
			if a, ok := hexEnd(w[1]); ok && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
		f.Close()
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out, nil
}

const listening = "0A" // TCP_LISTEN

// hexEnd reads an address of /proc/net/tcp: words in host order, port in hex.
func hexEnd(s string) (netip.AddrPort, bool) {
	addr, port, ok := strings.Cut(s, ":")
	p, err := strconv.ParseUint(port, 16, 16)
	b, err2 := hex.DecodeString(addr)
	if !ok || err != nil || err2 != nil || (len(b) != 4 && len(b) != 16) {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}
