package packet

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus finds the captures that tests read: HOPSCOPE_CORPUS, else
// ../shared/corpus beside the repository.
func corpus(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("HOPSCOPE_CORPUS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "shared/corpus")); err == nil {
			return filepath.Join(dir, "shared/corpus")
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	return ""
}

func captures(t testing.TB, under string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(corpus(t), under), func(p string, e os.DirEntry, err error) error {
		if n := strings.TrimSuffix(p, ".gz"); strings.HasSuffix(n, ".pcap") || strings.HasSuffix(n, ".pcapng") || strings.HasSuffix(n, ".cap") {
			files = append(files, p)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("captures under %s: %d, %v", under, len(files), err)
	}
	return files
}

// Encapsulated captures of the reference system decode to the inner flow.
func TestTunnels(t *testing.T) {
	type want struct {
		segments int
		tunnel   TunnelType
		id       uint32
		first    string // proto src > dst of the first segment
		not      int    // frames that carry no segment: CDP, ARP
	}
	for file, w := range map[string]want{
		"geneve.pcap":              {4, Geneve, 0, "1 10.156.0.19 > 10.156.0.28", 0},
		"vxlan-nsh.pcap":           {1, VXLANGPE, 0, "1 172.16.3.10 > 172.16.3.11", 0},
		"ff-vxlan.pcap":            {1, VXLAN, 1, "6 10.244.0.34 > 10.244.1.73", 0},
		"ip6-vxlan.pcap":           {1, VXLAN, 0, "6", 0},
		"ipip.pcap":                {0, IPIP, 0, "6 27.36.55.113 > 210.21.210.241", 0},
		"vmware-gre-teb.pcap":      {0, GRE, 0, "1 172.16.6.1 > 172.16.6.119", 1},
		"decapsulate_erspan1.pcap": {0, ERSPAN, 0, "6 172.28.50.89 > 172.28.147.79", 0},
		"decapsulate_test.pcap":    {0, NoTunnel, 0, "1 23.0.0.2 > 23.0.0.3", 1},
	} {
		t.Run(file, func(t *testing.T) {
			f, err := Open(filepath.Join(corpus(t), "deepflow/common", file))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var d Decoder
			var fr Frame
			var s Segment
			frames, segments, not, first := 0, 0, 0, ""
			for {
				err := f.Next(&fr)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				frames++
				if r := d.Decode(&fr, &s); r != OK {
					not++
					t.Logf("frame %d: %v", frames, r)
					continue
				}
				segments++
				if first == "" {
					first = strings.Join([]string{itoa(s.Proto), s.Src.Netip().String(), ">", s.Dst.Netip().String()}, " ")
				}
				if s.Tunnel.Depth == 0 || s.Tunnel.Type == NoTunnel {
					t.Errorf("frame %d: not unpacked: %+v", frames, s)
				}
				if w.tunnel != NoTunnel && s.Tunnel.Type != w.tunnel {
					t.Errorf("frame %d: tunnel %v, want %v", frames, s.Tunnel.Type, w.tunnel)
				}
				if w.id != 0 && s.Tunnel.ID != w.id {
					t.Errorf("frame %d: id %d, want %d", frames, s.Tunnel.ID, w.id)
				}
				if s.Tunnel.Src == s.Src && s.Tunnel.Src == (Addr{}) {
					t.Errorf("frame %d: no outer addresses", frames)
				}
			}
			if !strings.HasPrefix(first, w.first) {
				t.Errorf("first %q, want %q", first, w.first)
			}
			if not != w.not {
				t.Errorf("%d of %d frames not read, want %d", not, frames, w.not)
			}
			if segments == 0 || (w.segments != 0 && segments != w.segments) {
				t.Errorf("%d segments, want %d", segments, w.segments)
			}
		})
	}
}

func itoa(n uint8) string {
	if n >= 10 {
		return string(rune('0'+n/10)) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}

// Every capture can be read to its end, and what is decoded fits the frame.
func TestCorpus(t *testing.T) {
	for _, path := range append(captures(t, "packets"), captures(t, "deepflow")...) {
		f, err := Open(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var d Decoder
		var fr Frame
		var s Segment
		n, ok := 0, 0
		for {
			if err = f.Next(&fr); err != nil {
				break
			}
			n++
			if d.Decode(&fr, &s) != OK {
				continue
			}
			ok++
			if len(s.Payload) > int(s.Len) && s.Len != 0 || len(s.Payload) > len(fr.Data) && d.Stats.Reassembled.Load() == 0 {
				t.Errorf("%s frame %d: payload %d of %d in a frame of %d", path, n, len(s.Payload), s.Len, len(fr.Data))
			}
		}
		if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Logf("%s after %d frames: %v", filepath.Base(path), n, err)
		}
		if n == 0 {
			t.Errorf("%s: no frame: %v", path, err)
		}
		if ok*2 < n {
			line := ""
			d.Stats.Each(func(r string, n uint64) {
				if n > 0 {
					line += " " + r + "=" + strings.TrimSpace(itoaN(n))
				}
			})
			t.Logf("%s: %d of %d frames:%s link %d", filepath.Base(path), ok, n, line, fr.Link)
		}
		f.Close()
	}
}

func itoaN(n uint64) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
