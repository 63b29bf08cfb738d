package flow

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/internal/packet"
)

var update = flag.Bool("update", false, "write the tables of docs/packets.md")

// table compares what a test has worked out with the table of that name in
// docs/packets.md.
func table(t *testing.T, name, text string) {
	t.Helper()
	const doc = "../../docs/packets.md"
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok1 := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok1 || !ok2:
		t.Fatalf("%s has no %q ... %q", doc, begin, end)
	case got == text:
	case *update:
		if err := os.WriteFile(doc, []byte(before+begin+text+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is out of date (go test ./internal/flow -run Reference -update): want\n%s", doc, text)
	}
}

// flows are the reference system's captures of one flow.
func flows(t *testing.T) (files []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(corpus(t), "deepflow/flow_generator/*.pcap"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "ip-fragment.pcap") }) // six datagrams, no flow's life
}

func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".pcap") }

// TestReferenceTimes: the times of the reference system's captures are those
// that its definitions give, or one of two differences of definition explains
// them: measured that way, they are equal.
func TestReferenceTimes(t *testing.T) {
	reasons := []struct {
		definition
		why string
	}{
		{definition{again: true, every: true}, ""},
		{definition{every: true}, "bytes that are sent again are no new data: the wait began when they were first seen"},
		{definition{again: true}, "one value a turn: the last data before the other end's turn to its acknowledgement, not each packet's"},
		{definition{}, "bytes sent again are no new data, and one value a turn"},
	}
	var b strings.Builder
	b.WriteString("| capture | time | by its definition | ours | why they differ |\n| --- | --- | --: | --: | --- |\n")
	same, explained := 0, 0
	for _, path := range flows(t) {
		rs := play(t, path)
		if len(rs) != 1 {
			t.Fatalf("%s: %d records", path, len(rs))
		}
		r, list := &rs[0], packets(t, path)
		results(t, path, list)
		one := func(ns int64) Timing {
			if ns == 0 {
				return Timing{}
			}
			return Timing{1, ns, ns}
		}
		for _, row := range []struct {
			name string
			ours Timing
			of   func(*measured) Timing
		}{
			{"RTT", one(r.Connect), func(m *measured) Timing { return one(m.connect) }},
			{"RTT, client's part", one(r.ConnectClient), func(m *measured) Timing { return one(m.connectClient) }},
			{"RTT, server's part", one(r.ConnectServer), func(m *measured) Timing { return one(m.connectServer) }},
			{"SRT of the client", r.Side[0].SRT, func(m *measured) Timing { return m.srt[0] }},
			{"SRT of the server", r.Side[1].SRT, func(m *measured) Timing { return m.srt[1] }},
			{"ART of the client", r.Side[0].ART, func(m *measured) Timing { return m.art[0] }},
			{"ART of the server", r.Side[1].ART, func(m *measured) Timing { return m.art[1] }},
			{"CIT", r.CIT, func(m *measured) Timing { return m.cit }},
		} {
			m := theirs.measure(list)
			want := row.of(&m)
			if want.Count == 0 && row.ours.Count == 0 {
				continue
			}
			why, ok := "", false
			for _, reason := range reasons {
				m := reason.measure(list)
				if near(row.of(&m), row.ours) {
					why, ok = reason.why, true
					break
				}
			}
			switch {
			case !ok:
				t.Errorf("%s: %s %s, by definition %s: no difference of definition explains it", nameOf(path), row.name, show(row.ours), show(want))
			case why == "":
				same++
			default:
				explained++
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", nameOf(path), row.name, show(want), show(row.ours), why)
		}
	}
	if same < 15 || explained == 0 {
		t.Errorf("%d times are the same, %d differ", same, explained)
	}
	table(t, "times", b.String())
}

// show is a timing for people: how many, and their mean.
func show(d Timing) string {
	switch d.Count {
	case 0:
		return "-"
	case 1:
		return time.Duration(d.Sum).String()
	}
	return fmt.Sprintf("%d × %v", d.Count, time.Duration(d.Mean()))
}

var (
	perfField = regexp.MustCompile(`(?s)(rtt|art|srt)_([01]): TimeStats \{\s*count: (\d+),\s*sum: ([^,]+),`)
	citField  = regexp.MustCompile(`(?s)(cit): TimeStats (\{)\s*count: (\d+),\s*sum: ([^,]+),`)
	fullField = regexp.MustCompile(`rtt_full: ([^,]+),`)
	udpField  = regexp.MustCompile(`art_sum: ([^,]+), art_count: (\d+)`)
)

// results compares the definitions, as we read them, with what the reference
// system itself has measured, where that lies beside the capture.
func results(t *testing.T, path string, list []seen) {
	t.Helper()
	b, err := os.ReadFile(strings.TrimSuffix(path, ".pcap") + ".result")
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m := theirs.measure(list)
	equal := func(name string, got Timing, sum, count string) {
		d, err := time.ParseDuration(sum)
		if err != nil {
			t.Fatalf("%s: %s: %v", path, name, err)
		}
		if fmt.Sprint(got.Count) != count || (got.Sum-int64(d)+1000)/2000 != 0 {
			t.Errorf("%s: %s by definition %s, its own result %s × %s", nameOf(path), name, show(got), count, sum)
		}
	}
	text := string(b)
	if i := strings.LastIndex(text, "PerfData {"); i >= 0 {
		text = text[i:]
		rtt := [2]int64{m.connectClient, m.connectServer}
		for _, f := range append(perfField.FindAllStringSubmatch(text, -1), citField.FindStringSubmatch(text)) {
			side := 0
			if f[2] == "1" {
				side = 1
			}
			switch f[1] {
			case "rtt":
				equal("rtt_"+f[2], Timing{1, rtt[side], rtt[side]}, f[4], f[3])
			case "srt":
				equal("srt_"+f[2], m.srt[side], f[4], f[3])
			case "art":
				equal("art_"+f[2], m.art[side], f[4], f[3])
			case "cit":
				equal("cit", m.cit, f[4], f[3])
			}
		}
		equal("rtt", Timing{1, m.connect, m.connect}, fullField.FindStringSubmatch(text)[1], "1")
		return
	}
	all := udpField.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		t.Fatalf("%s: nothing in its result", path)
	}
	last := all[len(all)-1]
	equal("art_1", m.art[1], last[1], last[2])
}

// numbers are the reference system's, of the ends that its captures have.
var numbers = map[CloseType]string{CloseNormal: "1", CloseConnectServerReset: "19", CloseConnectClientReset: "18", CloseRefused: "15",
	CloseTimeout: "3", CloseACKTimeout: "10"}

// TestReferenceCloses: the ends of the reference system's captures, TestCloseTypes
// having what each must be.
func TestReferenceCloses(t *testing.T) {
	var b strings.Builder
	b.WriteString("| capture | what it has | last state | close type | its number | class |\n| --- | --- | --- | --- | --: | --- |\n")
	for _, path := range flows(t) {
		rs := play(t, path)
		if len(rs) != 1 {
			t.Fatalf("%s: %d records", path, len(rs))
		}
		r := &rs[0]
		want, ok := closes[nameOf(path)]
		if !ok || r.Close != want || numbers[r.Close] == "" {
			t.Errorf("%s: %v (number %q), want %v (known: %v)", nameOf(path), r.Close, numbers[r.Close], want, ok)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` | %s | %s |\n", nameOf(path), story(packets(t, path), r.Proto), r.State, r.Close, numbers[r.Close], r.Close.Class())
	}
	table(t, "closes", b.String())
}

// story is what is sent, in order.
func story(list []seen, proto uint8) string {
	var out []string
	n := 0
	for i := range list {
		p := &list[i]
		what := "client "
		if p.fromServer {
			what = "server "
		}
		switch {
		case proto != packet.ProtoTCP:
			what += "datagram"
		case p.flags&packet.RST != 0:
			what += "RST"
		case p.flags&packet.SYN != 0 && p.flags&packet.ACK != 0:
			what += "SYN-ACK"
		case p.flags&packet.SYN != 0:
			what += "SYN"
		case p.flags&packet.FIN != 0:
			what += "FIN"
		case p.n > 0:
			what += "data"
		default:
			what += "ACK"
		}
		if k := len(out) - 1; k >= 0 && strings.TrimSuffix(out[k], fmt.Sprint(" ×", n)) == what {
			n++
			out[k] = what + fmt.Sprint(" ×", n)
			continue
		}
		out, n = append(out, what), 1
	}
	return strings.Join(out, ", ")
}

// TestReferenceTunnels: its encapsulated captures, packet by packet to the inner
// flow; TestTunnels of internal/packet has what each must be.
func TestReferenceTunnels(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "deepflow/common/*.pcap"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	var b strings.Builder
	b.WriteString("| capture | frames | tunnel | depth | id | outer | first inner pair | pairs | not unpacked |\n| --- | --: | --- | --: | --: | --- | --- | --: | --- |\n")
	for _, path := range files {
		f, err := packet.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var d packet.Decoder
		var fr packet.Frame
		var s packet.Segment
		frames, left := 0, map[string]int{}
		type group struct {
			frames int
			inner  map[string]bool
			first  string
		}
		keys, groups := []string{}, map[string]*group{}
		for {
			err := f.Next(&fr)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			frames++
			if r := d.Decode(&fr, &s); r != packet.OK {
				left[r.String()]++
				continue
			}
			if s.Tunnel.Type == packet.NoTunnel {
				t.Errorf("%s frame %d: not unpacked", path, frames)
			}
			a, z := s.Src.Netip(), s.Dst.Netip()
			if z.Less(a) {
				a, z = z, a
			}
			x, y := s.Tunnel.Src.Netip(), s.Tunnel.Dst.Netip()
			if y.Less(x) {
				x, y = y, x
			}
			key := fmt.Sprintf("%s | %d | %d | %s, %s", s.Tunnel.Type, s.Tunnel.Depth, s.Tunnel.ID, x, y)
			g := groups[key]
			if g == nil {
				g = &group{inner: map[string]bool{}, first: fmt.Sprintf("%s %s, %s", protoName(s.Proto), a, z)}
				keys, groups[key] = append(keys, key), g
			}
			g.frames++
			g.inner[fmt.Sprint(s.Proto, a, z)] = true
		}
		f.Close()
		why := ""
		for _, r := range []packet.Reason{packet.NotIP, packet.NotL4, packet.Cut, packet.Malformed, packet.Fragment} {
			if n := left[r.String()]; n > 0 {
				why += fmt.Sprintf("%d %s ", n, r)
			}
		}
		for _, key := range keys {
			g := groups[key]
			fmt.Fprintf(&b, "| %s | %d of %d | %s | %s | %d | %s |\n", nameOf(path), g.frames, frames, key, g.first, len(g.inner), strings.TrimSpace(why))
			why = ""
		}
	}
	table(t, "tunnels", b.String())
}

func protoName(p uint8) string {
	switch p {
	case packet.ProtoTCP:
		return "TCP"
	case packet.ProtoUDP:
		return "UDP"
	}
	return "ICMP"
}
