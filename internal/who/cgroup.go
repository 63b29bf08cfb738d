package who

import (
	"bytes"
	"regexp"
	"strings"
)

// cgroup is what the path of a control group tells.
type cgroup struct {
	container string // 64 hex digits
	pod       string // UID, with dashes
	unit      string // systemd service, without its suffix
}

var (
	containerID = regexp.MustCompile(`(?:^|[-:/])([0-9a-f]{64})(?:\.scope)?$`)
	podUID      = regexp.MustCompile(`(?:^|[-/])pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:/|$)`)
)

// parseCgroup reads /proc/PID/cgroup: lines "id:controllers:path", one in
// version 2, where the path looks like
//
//	/system.slice/nginx.service
//	/system.slice/docker-<id>.scope
//	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope
//	/kubepods/besteffort/pod<uid>/<id>
func parseCgroup(b []byte) (c cgroup) {
	for line := range bytes.Lines(b) {
		f := bytes.SplitN(bytes.TrimSpace(line), []byte{':'}, 3)
		if len(f) != 3 {
			continue
		}
		path := string(f[2])
		if m := containerID.FindStringSubmatch(path); m != nil && c.container == "" {
			c.container = m[1]
		}
		if m := podUID.FindStringSubmatch(path); m != nil && c.pod == "" {
			c.pod = strings.ReplaceAll(m[1], "_", "-")
		}
		if c.unit == "" {
			c.unit = unit(path)
		}
	}
	if c.container != "" {
		c.unit = "" // that of the container's runtime
	}
	return c
}

// unit is the innermost service of the path; a user's manager is none.
func unit(path string) string {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		name, ok := strings.CutSuffix(parts[i], ".service")
		if ok && name != "" {
			if strings.HasPrefix(name, "user@") {
				return ""
			}
			return name
		}
	}
	return ""
}

// owner is what a pod was made from, by the names that Kubernetes gives: the
// random parts have an alphabet of their own.
var generated = regexp.MustCompile(`^(.+?)(?:-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}|-[bcdfghjklmnpqrstvwxz2456789]{5}|-[0-9]+)$`)

func owner(pod string) string {
	if m := generated.FindStringSubmatch(pod); m != nil {
		return m[1]
	}
	return pod
}
