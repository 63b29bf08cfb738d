//go:build linux && amd64

package kernel

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/hopscope/hopscope/internal/event"
)

// objects are all objects of this architecture.
var objects = map[string]func() (*ebpf.CollectionSpec, error){"socket": loadSocket, "syscall": loadSyscall, "golang": loadGolang, "packet": loadPacket}

func specs(t *testing.T) map[string]*ebpf.CollectionSpec {
	t.Helper()
	out := map[string]*ebpf.CollectionSpec{}
	for name, load := range objects {
		s, err := load()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = s
	}
	return out
}

// TestTwins compares the Go structs with the C ones, as the objects' BTF has
// them: no kernel and no root needed.
func TestTwins(t *testing.T) {
	twins := map[string]reflect.Type{
		"hs_head": reflect.TypeFor[event.Head](), "hs_open": reflect.TypeFor[event.Open](),
		"hs_data": reflect.TypeFor[event.Data](), "hs_peer": reflect.TypeFor[event.Peer](),
		"hs_close": reflect.TypeFor[event.Close](), "hs_proc": reflect.TypeFor[event.Proc](),
		"hs_loss": reflect.TypeFor[event.Loss](), "hs_go": reflect.TypeFor[goOffsets](),
		"hs_handover": reflect.TypeFor[event.Handover](), "hs_tcp": reflect.TypeFor[event.TCP](), "hs_lost": reflect.TypeFor[event.Lost](),
		"hs_go_layout": reflect.TypeFor[goLayout](), "hs_cidr": reflect.TypeFor[cidrKey](),
	}
	packets := map[string]reflect.Type{"hs_packet": reflect.TypeFor[Packet](), "hs_packet_stats": reflect.TypeFor[packetStats]()}
	for obj, spec := range specs(t) {
		twins := twins
		if obj == "packet" {
			twins = packets
		}
		for name, typ := range twins {
			if name == "hs_go_layout" && obj != "golang" {
				continue
			}
			var s *btf.Struct
			if err := spec.Types.TypeByName(name, &s); err != nil {
				t.Errorf("%s: %s: %v", obj, name, err)
				continue
			}
			if int(s.Size) != int(typ.Size()) {
				t.Errorf("%s: %d bytes in C, %d in Go", name, s.Size, typ.Size())
			}
			fields := map[string]reflect.StructField{}
			for i := range typ.NumField() {
				if f := typ.Field(i); f.Name != "_" {
					fields[f.Name] = f
				}
			}
			for _, m := range s.Members {
				n := camel(m.Name)
				f, ok := fields[n]
				if !ok {
					t.Errorf("%s: C has %s, Go has not", name, n)
					continue
				}
				delete(fields, n)
				size, err := btf.Sizeof(m.Type)
				if err != nil {
					t.Errorf("%s.%s: %v", name, n, err)
				}
				if int(m.Offset.Bytes()) != int(f.Offset) || size != int(f.Type.Size()) {
					t.Errorf("%s.%s: offset %d size %d in C, %d and %d in Go", name, n, m.Offset.Bytes(), size, f.Offset, f.Type.Size())
				}
			}
			for n := range fields {
				t.Errorf("%s: Go has %s, C has not", name, n)
			}
		}
	}
}

func camel(s string) string {
	var b strings.Builder
	for _, p := range strings.Split(s, "_") {
		if p != "" {
			b.WriteString(strings.ToUpper(p[:1]) + p[1:])
		}
	}
	return b.String()
}

// TestEnums compares numbers that Go repeats.
func TestEnums(t *testing.T) {
	want := map[string]uint64{
		"HS_ERRS":      uint64(len(errNames)),
		"HS_WISH_MUTE": uint64(wishMute), "HS_WISH_ANNOUNCE": uint64(wishAnnounce), "HS_WISH_RAISE": uint64(wishRaise), "HS_WISH_BURST": uint64(wishBurst),
		"HS_PASS_IN": uint64(passIn), "HS_PASS_OUT": uint64(passOut),
		"HS_WANT_PORT": uint64(wantPort), "HS_WANT_CIDR": uint64(wantCIDR), "HS_WANT_NAME": uint64(wantName),
		"HS_WANT_CGROUP": uint64(wantCgroup), "HS_WANT_NETNS": uint64(wantNetNS), "HS_WANT_AGAIN": uint64(wantAgain),
		"HS_KIND_OPEN": uint64(event.KindOpen), "HS_KIND_DATA": uint64(event.KindData),
		"HS_KIND_DATAGRAM": uint64(event.KindDatagram), "HS_KIND_CLOSE": uint64(event.KindClose),
		"HS_KIND_EXEC": uint64(event.KindExec), "HS_KIND_EXIT": uint64(event.KindExit), "HS_KIND_FORK": uint64(event.KindFork),
		"HS_KIND_LOSS": uint64(event.KindLoss), "HS_KIND_CLOCK": uint64(event.KindClock),
		"HS_OPEN_MIDSTREAM": uint64(event.Midstream), "HS_OPEN_KEYED": uint64(event.Keyed), "HS_OPEN_CONNECTED": uint64(event.Connected),
		"HS_DATA_NO_BUFFER": uint64(event.NoBuffer), "HS_DATA_URING": uint64(event.URing), "HS_DATA_FAULT": uint64(event.Fault),
		"HS_DATA_PEER": uint64(event.HasPeer), "HS_DATA_MERGED": uint64(event.Merged),
		"HS_KIND_CONNECT": uint64(event.KindConnect), "HS_KIND_HANDOVER": uint64(event.KindHandover), "HS_KIND_TCP": uint64(event.KindTCP), "HS_KIND_LOST": uint64(event.KindLost),
		"HS_HANDOVER_ASKS": uint64(event.Asks), "HS_HANDOVER_SERVES": uint64(event.Serves),
		"HS_CLOSE_GONE": uint64(event.Gone), "HS_CLOSE_SENT": uint64(event.SendEnded), "HS_CLOSE_RECEIVED": uint64(event.RecvEnded),
	}
	for i, n := range errNames {
		want["HS_ERR_"+strings.ToUpper(n)] = uint64(i)
	}
	for obj, spec := range specs(t) {
		got := map[string]uint64{}
		for typ := range spec.Types.All() {
			if e, ok := typ.(*btf.Enum); ok {
				for _, v := range e.Values {
					got[v.Name] = v.Value
				}
			}
		}
		want := want
		if obj == "packet" {
			want = map[string]uint64{
				"HS_WAY_IN": uint64(PacketIn), "HS_WAY_OUT": uint64(PacketOut),
				"HS_IFACE_ETHERNET": uint64(HeadEthernet), "HS_IFACE_BARE": uint64(HeadBare),
				"HS_STEP_FILTER_IN": uint64(stepFilterIn), "HS_STEP_FILTER_OUT": uint64(stepFilterOut),
				"HS_STEP_KEEP_IN": uint64(stepKeepIn), "HS_STEP_KEEP_OUT": uint64(stepKeepOut),
			}
		}
		for n, w := range want {
			if g, ok := got[n]; !ok || g != w {
				t.Errorf("%s: %s is %d (there: %v) in C, %d in Go", obj, n, g, ok, w)
			}
		}
	}
}

// TestKernelFields wants every kernel type that the objects name, with every
// field, in the running kernel. No root needed. Flavours (___v...) are for
// other kernels.
func TestKernelFields(t *testing.T) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("this kernel shows no BTF: %v", err)
	}
	checked := 0
	for obj, spec := range specs(t) {
		for typ, err := range spec.Types.All() {
			if err != nil {
				t.Fatal(err)
			}
			s, ok := typ.(*btf.Struct)
			if !ok || s.Name == "" || strings.HasPrefix(s.Name, "hs_") || strings.Contains(s.Name, "___") || s.Name == "bpf_sock_addr" {
				continue
			}
			var k *btf.Struct
			if err := kernel.TypeByName(s.Name, &k); err != nil {
				t.Errorf("%s: struct %s: not in this kernel: %v", obj, s.Name, err)
				continue
			}
			for _, m := range s.Members {
				if m.Name == "" {
					continue
				}
				checked++
				if !hasField(k, m.Name, 0) {
					t.Errorf("%s: %s.%s: not in this kernel", obj, s.Name, m.Name)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("%d fields found to check: the objects' BTF is not what this test thinks", checked)
	}
}

func hasField(t btf.Type, name string, depth int) bool {
	var members []btf.Member
	switch s := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		members = s.Members
	case *btf.Union:
		members = s.Members
	}
	for _, m := range members {
		if m.Name == name || (m.Name == "" && depth < 8 && hasField(m.Type, name, depth+1)) {
			return true
		}
	}
	return false
}

// TestInsns compares the number of instructions of each program with
// bpf/insns.txt, so that growth shows in review. HOPSCOPE_UPDATE=1 writes it.
func TestInsns(t *testing.T) {
	var lines []string
	for obj, spec := range specs(t) {
		for name, p := range spec.Programs {
			lines = append(lines, fmt.Sprintf("%s %s %d\n", obj, name, len(p.Instructions)))
		}
	}
	sort.Strings(lines)
	got := strings.Join(lines, "")
	const file = "../../bpf/insns.txt"
	if os.Getenv("HOPSCOPE_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("bpf/insns.txt is not what the objects have (make generate writes it):\n%s", got)
	}
}
