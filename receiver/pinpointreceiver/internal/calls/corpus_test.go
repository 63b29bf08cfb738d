package calls

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
)

// corpus finds the captures: HOPSCOPE_CORPUS, else ../shared/corpus beside the
// repository.
func corpus(t testing.TB) string {
	if dir := os.Getenv("HOPSCOPE_CORPUS"); dir != "" {
		return filepath.Join(dir, "pinpoint")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		dir = filepath.Dir(dir)
		if c := filepath.Join(dir, "shared", "corpus", "pinpoint"); exists(c) {
			return c
		}
	}
	t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// truth is one line of truth.jsonl.
type truth struct {
	Ev, Remote, Path, Dir, Sha256 string
	Len                           int
	Metadata                      map[string][]string
}

func readTruth(t *testing.T, path string) (out []truth) {
	var r io.Reader
	f, err := os.Open(path)
	if err != nil {
		if f, err = os.Open(path + ".gz"); err != nil {
			t.Fatal(err)
		}
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	} else {
		r = f
	}
	defer f.Close()
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var l truth
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// sniff reads the messages of a capture.
func sniff(t testing.TB, path string, next func(*Message)) *Sniffer {
	if !exists(path) {
		path += ".gz"
	}
	f, err := packet.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := New([]uint16{9991, 9992, 9993}, next)
	asm := stream.NewAssembler(stream.AssemblerConfig{HoleWait: HoleWait, HoleSegments: HoleSegments}, s.Put)
	var d packet.Decoder
	var fr packet.Frame
	var seg packet.Segment
	for {
		err := f.Next(&fr)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.Decode(&fr, &seg) == packet.OK {
			asm.Put(&seg)
		}
		asm.Tick(fr.Time)
	}
	asm.Flush()
	return s
}

// key names a message: who sent it to whom, and what.
func key(remote, dir, sum string, n int) string {
	return fmt.Sprint(remote, " ", dir, " ", sum, " ", n)
}

func TestCorpus(t *testing.T) {
	dir := corpus(t)
	for _, c := range []struct {
		file, truth string
		late        bool // begins in the middle
		least       int  // per mille of the truth's messages that must be found
	}{
		{"01-go-batch/capture.pcap", "", false, 1000},
		{"03-node-087/capture.pcap", "", false, 1000},
		{"05-mid-connection/capture.pcap", "", true, 875},
		{"06-concurrent-large/capture.pcap", "", false, 1000},
		{"07-reconnect/capture.pcap", "", false, 1000},
		{"10-all-traffic/capture.pcap", "", false, 1000},
		{"11b-java-batch/capture.pcap", "", false, 1000},
		{"12-python-c-agent/capture.pcap", "", false, 1000},
		{"15-linktype-any-ipv6/capture-lo.pcapng", "15-linktype-any-ipv6/truth.jsonl", false, 1000},
		{"15-linktype-any-ipv6/capture-sll2.pcap", "15-linktype-any-ipv6/truth.jsonl", false, 1000},
		{"16-derived-damage/02-reordered-duplicated.pcap", "16-derived-damage/02.truth.jsonl", false, 1000},
		{"16-derived-damage/02-lost-6pct.pcap", "16-derived-damage/02.truth.jsonl", false, 840},
		{"16-derived-damage/02-snaplen200.pcap", "16-derived-damage/02.truth.jsonl", false, 840},
		{"16-derived-damage/sll2-kernel-drops.pcap", "16-derived-damage/sll2-kernel-drops.truth.jsonl", false, 700},
	} {
		t.Run(c.file, func(t *testing.T) {
			if c.truth == "" {
				c.truth = filepath.Join(filepath.Dir(c.file), "truth.jsonl")
			}
			want := map[string][]string{} // key: paths
			total := 0
			heads := map[string]truth{}
			for _, l := range readTruth(t, filepath.Join(dir, c.truth)) {
				switch l.Ev {
				case "msg":
					k := key(l.Remote, l.Dir, l.Sha256, l.Len)
					want[k] = append(want[k], l.Path)
					total++
				case "headers":
					heads[l.Remote+" "+l.Path] = l
				}
			}
			found, unknown := 0, 0
			type seen struct {
				m   Message
				sum string
			}
			// Those without a path take what the others leave.
			var all [2][]seen
			s := sniff(t, filepath.Join(dir, c.file), func(m *Message) {
				sum := sha256.Sum256(m.Body)
				c := *m.Call
				i := 0
				if c.Path == "" {
					i = 1
				}
				all[i] = append(all[i], seen{Message{Conn: m.Conn, Call: &c, Client: m.Client, Body: make([]byte, len(m.Body))}, hex.EncodeToString(sum[:])})
			})
			for _, x := range append(all[0], all[1]...) {
				m := &x.m
				remote, d := m.Conn.A, "c2s"
				if m.Conn.A.Port() >= 9991 && m.Conn.A.Port() <= 9993 {
					remote = m.Conn.B
				}
				if !m.Client {
					d = "s2c"
				}
				k := key(remote.String(), d, x.sum, len(m.Body))
				if len(want[k]) == 0 {
					k = key(remote.String(), d, "", len(m.Body)) // its paths were replaced
				}
				if len(want[k]) == 0 {
					t.Errorf("not in the truth: %s %s %d bytes of stream %d %s", remote, d, len(m.Body), m.Call.Stream, m.Call.Path)
					continue
				}
				found++
				at := 0
				for i, p := range want[k] {
					if p == m.Call.Path {
						at = i
					}
				}
				switch p := want[k][at]; m.Call.Path {
				case "":
					unknown++
				case p:
				default:
					t.Errorf("%s: path %s, want %s", remote, m.Call.Path, p)
				}
				want[k] = append(want[k][:at], want[k][at+1:]...)
				if h, ok := heads[remote.String()+" "+m.Call.Path]; ok {
					for name, v := range map[string]string{"agentid": m.Call.AgentID, "applicationname": m.Call.ApplicationName, "starttime": m.Call.StartTime,
						"servicetype": m.Call.ServiceType, "protocol.version": m.Call.ProtocolVersion, "agentname": m.Call.AgentName, "servicename": m.Call.ServiceName} {
						if w := strings.Join(h.Metadata[name], ","); v != w && (v != "" || !m.Call.Partial) {
							t.Errorf("%s %s: %s is %q, want %q", remote, m.Call.Path, name, v, w)
						}
					}
				}
			}
			st := s.Stats()
			t.Logf("%d of %d messages, %d without a path; conns %d late %d calls %d blind %d partial %d lost %d places %d", found, total, unknown,
				st.Conns.Load(), st.Late.Load(), st.Calls.Load(), st.Blind.Load(), st.Partial.Load(), st.Lost.Load(), st.LostPlaces.Load())
			if found*1000 < c.least*total {
				t.Errorf("found %d of %d messages", found, total)
			}
			if unknown > 0 && c.least == 1000 {
				t.Errorf("%d messages without a path", unknown)
			}
		})
	}
}
