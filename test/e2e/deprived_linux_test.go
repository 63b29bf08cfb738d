package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// TestDeprived: on a system that lacks something the receiver starts with what is
// left and says what is lost; with nothing left it refuses to start. Either way it
// says what to do.
func TestDeprived(t *testing.T) {
	asRoot(t)
	installed(t, "unshare", "setpriv")
	bin := binary(t)
	const (
		sockets  = "    sockets: {include: {ports: [65001]}}\n"
		off      = "    sockets: {mode: 'off'}\n"
		afpacket = "    packets: {mode: afpacket, interfaces: [lo], filter: port 65001}\n"
		nobody   = "exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all "
		hide     = "for d in /sys/kernel/tracing /sys/kernel/debug; do umount -l $d 2>/dev/null; mount -t tmpfs none $d; done; exec "
	)
	dir, err := os.MkdirTemp("/var/tmp", "deprived") // where nobody may read
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "hopscope")
	if err := copyFile(copied, bin); err != nil {
		t.Fatal(err)
	}
	with := func(caps string) string {
		return "exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=" + caps + " --ambient-caps=" + caps + " "
	}
	for _, c := range []struct {
		name, before, config string
		refuses              bool
		says                 []string // regular expressions
	}{
		{"no privilege", nobody, sockets, true, []string{"operation not permitted", "run as root, or with the capabilities CAP_BPF, CAP_PERFMON"}},
		{"no privilege, packets too", nobody, sockets + afpacket, true, []string{"capture of packets only.*CAP_BPF", "CAP_NET_RAW"}},
		{"no privilege, tc", nobody, off + "    packets: {mode: tc, interfaces: [lo]}\n", true, []string{"CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"}},
		{"packets only", with("+net_raw"), sockets + afpacket, false, []string{"capture of packets only.*CAP_BPF"}},
		{"no CAP_NET_ADMIN", with("+bpf,+perfmon"), sockets, false, []string{"hook attached.*hs_sock_send", "hook not attached.*hs_udp4_from.*peers of unconnected UDP sockets"}},
		{"no BTF", "mount -t tmpfs none /sys/kernel/btf; exec ", sockets, true, []string{"no BTF of this kernel", "CONFIG_DEBUG_INFO_BTF=y", "packets::mode: afpacket"}},
		{"no BTF, packets too", "mount -t tmpfs none /sys/kernel/btf; exec ", sockets + afpacket, false, []string{"capture of packets only.*no BTF of this kernel"}},
		{"no tracefs", hide, "    sockets: {hooks: [syscall, raw_syscall], include: {ports: [65001]}}\n", false, []string{"others stand in for them.*tracefs is not mounted", "hook attached.*raw_tp/sys_exit"}},
		{"no tracefs, hooks that need it", hide, "    sockets: {hooks: [syscall], include: {ports: [65001]}}\n", true, []string{"mount tracefs at /sys/kernel/tracing, or take sockets::hooks out"}},
		{"no cgroup2", "umount -l /sys/fs/cgroup; exec ", sockets, false, []string{"hook not attached.*hs_udp4_from.*no cgroup2 hierarchy is mounted", "hook attached.*hs_sock_recv"}},
		{"nowhere to record", "mount -t tmpfs -o ro none $D; exec ", sockets + "    record: {path: $D/rec}\n", true, []string{"record::path: open .*read-only file system"}},
		{"read-only", "mount --make-rprivate /; mount -o remount,ro,bind /; exec ", sockets, false, []string{"hook attached.*hs_sock_send"}},
		{"a missing interface", "exec ", sockets + "    packets: {mode: afpacket, interfaces: [lo, nosuch0], filter: port 65001}\n", false, []string{"packets::interfaces: no interface is called nosuch0"}},
		{"no interface at all", "exec ", off + "    packets: {mode: afpacket, interfaces: [nosuch0]}\n", true, []string{"packets::interfaces: no interface is called nosuch0, and nothing else is captured"}},
		{"interfaces that may come", "exec ", off + "    packets: {mode: afpacket, interfaces: ['nosuch*']}\n", false, []string{"packets::interfaces: no interface is called nosuch"}},
		{"another's /proc", "exec ", sockets + "    process: {proc_root: /nosuch}\n", true, []string{"process::proc_root: /nosuch is no /proc"}},
		{"a cgroup that is not there", "exec ", "    sockets: {include: {cgroups: [no/such]}}\n", false, []string{"a cgroup of the filter is not there.*no/such"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			place := filepath.Join(dir, "place")
			if err := os.MkdirAll(place, 0o755); err != nil {
				t.Fatal(err)
			}
			config := "receivers:\n  ebpf:\n" + strings.ReplaceAll(c.config, "$D", place) + "exporters: {nop: {}}\nservice:\n  telemetry: {metrics: {level: none}}\n" +
				"  pipelines: {traces: {receivers: [ebpf], exporters: [nop]}}\n"
			file := filepath.Join(dir, "config.yaml")
			if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
				t.Fatal(err)
			}
			p, err := rig.StartIn(dir, []string{"D=" + place}, "unshare", "-m", "--propagation", "private", "sh", "-c", c.before+copied+" --config "+file)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			var ended bool
			err = p.Until(60*time.Second, func() error {
				if strings.Contains(p.Log().String(), "Everything is ready") {
					return nil
				}
				return errors.New("not ready")
			})
			select {
			case <-p.Ended():
				ended = true
			default:
			}
			text := p.Log().String()
			if ended != c.refuses || (err != nil) != c.refuses {
				t.Errorf("ended: %v (%v), want %v", ended, err, c.refuses)
			}
			for _, says := range c.says {
				if !regexp.MustCompile(says).MatchString(text) {
					t.Errorf("does not say %q", says)
				}
			}
			if strings.Contains(text, "MEMLOCK") || strings.Contains(text, "panic") {
				t.Error("says what is not so")
			}
			if t.Failed() {
				t.Logf("%s", text)
			}
		})
	}
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}
