package semconv

// SchemaURL is the version of the OpenTelemetry semantic conventions that the
// names here, and those of the protocols, are of.
const SchemaURL = "https://opentelemetry.io/schemas/1.41.0"

// Names of the OpenTelemetry semantic conventions; a test holds them against
// the package of that version.
const (
	ClientAddress = "client.address"
	ClientPort    = "client.port"
	ServerAddress = "server.address"
	ServerPort    = "server.port"

	NetworkLocalAddress    = "network.local.address"
	NetworkLocalPort       = "network.local.port"
	NetworkPeerAddress     = "network.peer.address"
	NetworkPeerPort        = "network.peer.port"
	NetworkTransport       = "network.transport"
	NetworkType            = "network.type"
	NetworkProtocolName    = "network.protocol.name"
	NetworkProtocolVersion = "network.protocol.version"
	NetworkInterfaceName   = "network.interface.name"

	HTTPRoute = "http.route"

	ErrorType        = "error.type"
	ExceptionMessage = "exception.message"

	ServiceName           = "service.name"
	ServiceNamespace      = "service.namespace"
	ServiceInstanceID     = "service.instance.id"
	ProcessPID            = "process.pid"
	ProcessExecutableName = "process.executable.name"
	ProcessExecutablePath = "process.executable.path"
	ProcessCommandLine    = "process.command_line"
	ProcessRuntimeName    = "process.runtime.name"
	ContainerID           = "container.id"
	K8SPodUID             = "k8s.pod.uid"
	K8SPodName            = "k8s.pod.name"
	K8SNamespaceName      = "k8s.namespace.name"
	HostName              = "host.name"
	HostID                = "host.id"
)

// NetworkVLANID has no convention yet; the name is the one under discussion.
const NetworkVLANID = "network.vlan.id"

// ErrorTypeOther is the value of error.type when nothing better is known.
const ErrorTypeOther = "_OTHER"
