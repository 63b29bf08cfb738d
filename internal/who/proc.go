package who

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits of what is read of a process: the environment and the command line are
// the process's own, so it decides how long they are.
const (
	maxEnviron = 128 << 10
	maxCommand = 4 << 10
	maxSmall   = 16 << 10
	maxExtra   = 32 // attributes from OTEL_RESOURCE_ATTRIBUTES
)

// read is the process pid as /proc has it.
func (t *Table) read(pid uint32) *Process {
	start, comm, ok := t.stat(pid)
	if !ok {
		return nil
	}
	p := &Process{PID: pid, Start: start, Comm: comm}
	if exe, err := os.Readlink(t.path(pid, "exe")); err == nil {
		p.Path = strings.TrimSuffix(exe, " (deleted)")
		p.Executable = filepath.Base(p.Path)
		// One binary under several names (redis-server is a link to
		// redis-check-rdb): the kernel has the name that it was started by.
		if comm != "" && !strings.HasPrefix(p.Executable, comm) && !strings.HasPrefix(comm, p.Executable) && t.startedAs(pid, comm) {
			p.Executable = comm
		}
	}
	if p.Executable == "" {
		p.Executable = comm
	}
	p.Runtime = runtimeOf(t.path(pid, "exe"))
	if t.cfg.Command {
		if b := head(t.path(pid, "cmdline"), maxCommand); len(b) > 0 {
			p.Command = strings.ToValidUTF8(string(bytes.ReplaceAll(bytes.TrimRight(b, "\x00"), []byte{0}, []byte{' '})), "?")
		}
	}
	cg := parseCgroup(head(t.path(pid, "cgroup"), maxSmall))
	p.Container, p.PodUID = cg.container, cg.pod
	if cg.pod != "" {
		p.Pod = firstLine(head(t.path(pid, "root/etc/hostname"), maxSmall))
		p.PodNamespace = firstLine(head(t.path(pid, "root/var/run/secrets/kubernetes.io/serviceaccount/namespace"), maxSmall))
	}
	t.service(p, environ(head(t.path(pid, "environ"), maxEnviron)), cg)
	p.Instance = t.instance(pid, start)
	return p
}

// startedAs reports whether the program was started by the name comm, rather than
// that it has named itself or one of its threads so.
func (t *Table) startedAs(pid uint32, comm string) bool {
	first, _, _ := strings.Cut(string(head(t.path(pid, "cmdline"), 4096)), "\x00")
	first, _, _ = strings.Cut(first, " ") // a title that the program wrote there
	return strings.HasPrefix(filepath.Base(first), comm)
}

// runtimeOf is "go" for what the Go linker made, which says so in sections that
// stay when the rest is stripped; "" for all else.
func runtimeOf(exe string) string {
	f, err := elf.Open(exe)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, s := range f.Sections {
		switch s.Name {
		case ".go.buildinfo", ".note.go.buildid", ".gopclntab":
			return "go"
		}
	}
	return ""
}

func (t *Table) path(pid uint32, name string) string {
	return t.cfg.Proc + "/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// stat reads start time and name; the name is in brackets and may hold any.
func (t *Table) stat(pid uint32) (start uint64, comm string, ok bool) {
	b := head(t.path(pid, "stat"), maxSmall)
	i, j := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if i < 0 || j < i {
		return 0, "", false
	}
	f := bytes.Fields(b[j+1:])
	if len(f) < 20 {
		return 0, "", false
	}
	start, err := strconv.ParseUint(string(f[19]), 10, 64) // field 22 of the line
	return start, strings.ToValidUTF8(string(b[i+1:j]), "?"), err == nil
}

// service finds the name of p's service: the first rule that knows one.
func (t *Table) service(p *Process, env map[string]string, cg cgroup) {
	attrs := resourceAttributes(env["OTEL_RESOURCE_ATTRIBUTES"])
	for i := 0; i+1 < len(attrs); i += 2 {
		switch k, v := attrs[i], attrs[i+1]; k {
		case "service.name":
			p.Service, p.Source = v, "env"
		case "service.namespace":
			p.Namespace = v
		case "service.instance.id": // ours tells processes apart, also after a fork
		default:
			p.Extra = append(p.Extra, k, v)
		}
	}
	if s := env["OTEL_SERVICE_NAME"]; s != "" {
		p.Service, p.Source = s, "env"
	}
	try := func(name, source string) {
		if p.Service == "" && name != "" {
			p.Service, p.Source = strings.ToValidUTF8(name, "?"), source
		}
	}
	if p.Pod != "" {
		try(owner(p.Pod), "k8s")
	}
	try(cg.unit, "systemd")
	if p.Service == "" && cg.container != "" && cg.pod == "" {
		try(t.containerName(cg.container), "container")
	}
	try(p.Executable, "executable")
}

// containerName asks the files of Docker, where it is.
func (t *Table) containerName(id string) string {
	var c struct{ Name string }
	if json.Unmarshal(head(t.cfg.Proc+"/1/root/var/lib/docker/containers/"+id+"/config.v2.json", 1<<20), &c) != nil {
		return ""
	}
	return strings.TrimPrefix(c.Name, "/")
}

// ReadHost is this machine, seen through the host's proc ("": /proc), so that
// it is the host also inside a container.
func ReadHost(proc string) Host {
	if proc == "" {
		proc = "/proc"
	}
	var h Host
	h.Name = firstLine(head(proc+"/1/root/etc/hostname", maxSmall))
	if h.Name == "" {
		h.Name, _ = os.Hostname()
	}
	for _, f := range []string{proc + "/1/root/etc/machine-id", "/etc/machine-id"} {
		if h.ID = firstLine(head(f, maxSmall)); h.ID != "" {
			return h
		}
	}
	h.ID = h.Name
	return h
}

// environ are the variables we look at.
func environ(b []byte) map[string]string {
	out := map[string]string{}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		k, val, _ := bytes.Cut(v, []byte{'='})
		if s := string(k); s == "OTEL_SERVICE_NAME" || s == "OTEL_RESOURCE_ATTRIBUTES" {
			out[s] = strings.ToValidUTF8(string(val), "?")
		}
	}
	return out
}

// resourceAttributes are key, value, key, value ... of
// OTEL_RESOURCE_ATTRIBUTES: comma-separated, values percent-encoded.
func resourceAttributes(s string) (out []string) {
	for kv := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(kv, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" || len(out) >= 2*maxExtra {
			continue
		}
		if u, err := url.PathUnescape(v); err == nil {
			v = strings.ToValidUTF8(u, "?")
		}
		out = append(out, k, v)
	}
	return out
}

// head is the first max bytes of a file, nil if it can't be read.
func head(file string, max int64) []byte {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max))
	if err != nil {
		return nil
	}
	return b
}

func firstLine(b []byte) string {
	l, _, _ := bytes.Cut(b, []byte{'\n'})
	return strings.ToValidUTF8(string(bytes.TrimSpace(l)), "?")
}
