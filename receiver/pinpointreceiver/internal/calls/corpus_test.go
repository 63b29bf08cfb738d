package calls_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/corpus"
)

// key names a message: who sent it to whom, and what.
func key(remote, dir, sum string, n int) string {
	return fmt.Sprint(remote, " ", dir, " ", sum, " ", n)
}

func TestCorpus(t *testing.T) {
	dir := corpus.Dir(t)
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
			heads := map[string]corpus.Line{}
			for _, l := range corpus.Read(t, filepath.Join(dir, c.truth)) {
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
				m   calls.Message
				sum string
			}
			// Those without a path take what the others leave.
			var all [2][]seen
			s := corpus.Sniff(t, filepath.Join(dir, c.file), func(m *calls.Message) {
				sum := sha256.Sum256(m.Body)
				c := *m.Call
				i := 0
				if c.Path == "" {
					i = 1
				}
				all[i] = append(all[i], seen{calls.Message{Conn: m.Conn, Call: &c, Client: m.Client, Body: make([]byte, len(m.Body))}, hex.EncodeToString(sum[:])})
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
