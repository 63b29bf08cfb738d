// Package who says which program an endpoint is: process, service, container,
// host.
package who

// Process is what is known of one process. It does not change once handed out.
type Process struct {
	PID   uint32
	Start uint64 // clock ticks after boot: with PID unique on the host

	Comm       string // the kernel's name
	Executable string // base name of Path
	Path       string
	Command    string // command line; "" unless asked for
	Runtime    string // "go", if the executable is known to be so

	Service   string
	Source    string // where Service comes from: env, k8s, systemd, container, executable
	Namespace string
	Instance  string

	Container string // 64 hex digits
	// Of a Kubernetes pod.
	PodUID, Pod, PodNamespace string
	// Extra are further attributes that the process's environment declares
	// (OTEL_RESOURCE_ATTRIBUTES), key, value, key, value ...
	Extra []string
}

// Host is the machine.
type Host struct {
	Name string
	ID   string
}
