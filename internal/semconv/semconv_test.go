package semconv

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	otel "go.opentelemetry.io/otel/semconv/v1.41.0"
)

// names are the string constants of a file of this package.
func names(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.ValueSpec); ok {
			for i, id := range s.Names {
				if l, ok := s.Values[i].(*ast.BasicLit); ok && l.Kind == token.STRING {
					v, _ := strconv.Unquote(l.Value)
					out[v] = id.Name
				}
			}
		}
		return true
	})
	if len(out) == 0 {
		t.Fatalf("%s: no names found", file)
	}
	return out
}

// documented are the names in the first column of the tables of the page.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("../../docs/attributes.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	code := regexp.MustCompile("`([a-z0-9_.]+)`")
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			if out[m[1]] {
				t.Errorf("docs/attributes.md: %s stands there twice", m[1])
			}
			out[m[1]] = true
		}
	}
	if len(out) == 0 {
		t.Fatal("docs/attributes.md: no names found")
	}
	return out
}

func TestDocs(t *testing.T) {
	ours, docs := names(t, "hopscope.go"), documented(t)
	for n := range ours {
		if strings.HasPrefix(n, "hopscope.") && !docs[n] {
			t.Errorf("docs/attributes.md lacks %s", n)
		}
	}
	for n := range docs {
		if strings.HasPrefix(n, "hopscope.") && ours[n] == "" {
			t.Errorf("docs/attributes.md has %s, hopscope.go has not", n)
		}
	}
}

// TestElsewhere: packages that may not import this one (protocols) write names as
// literals; these are names of ours too.
func TestElsewhere(t *testing.T) {
	ours := names(t, "hopscope.go")
	for dir := range strings.FieldsSeq("../../internal ../../receiver ../../processor ../../exporter ../../cmd") {
		for _, file := range goFiles(t, dir) {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					if v, _ := strconv.Unquote(l.Value); strings.HasPrefix(v, "hopscope.") && ours[v] == "" {
						t.Errorf("%s: %s is a name that semconv does not have", file, v)
					}
				}
				return true
			})
		}
	}
}

// TestConventions holds otel.go against the published package.
func TestConventions(t *testing.T) {
	published := map[string]string{
		ClientAddress: string(otel.ClientAddressKey), ClientPort: string(otel.ClientPortKey),
		ServerAddress: string(otel.ServerAddressKey), ServerPort: string(otel.ServerPortKey),
		NetworkLocalAddress: string(otel.NetworkLocalAddressKey), NetworkLocalPort: string(otel.NetworkLocalPortKey),
		NetworkPeerAddress: string(otel.NetworkPeerAddressKey), NetworkPeerPort: string(otel.NetworkPeerPortKey),
		NetworkTransport: string(otel.NetworkTransportKey), NetworkType: string(otel.NetworkTypeKey),
		NetworkProtocolName: string(otel.NetworkProtocolNameKey), NetworkProtocolVersion: string(otel.NetworkProtocolVersionKey),
		NetworkInterfaceName: string(otel.NetworkInterfaceNameKey),
		HTTPRoute:            string(otel.HTTPRouteKey),
		ErrorType:            string(otel.ErrorTypeKey), ExceptionMessage: string(otel.ExceptionMessageKey),
		ServiceName: string(otel.ServiceNameKey), ServiceNamespace: string(otel.ServiceNamespaceKey),
		ServiceInstanceID: string(otel.ServiceInstanceIDKey),
		ProcessPID:        string(otel.ProcessPIDKey), ProcessExecutableName: string(otel.ProcessExecutableNameKey),
		ProcessExecutablePath: string(otel.ProcessExecutablePathKey), ProcessCommandLine: string(otel.ProcessCommandLineKey),
		ProcessRuntimeName: string(otel.ProcessRuntimeNameKey),
		ContainerID:        string(otel.ContainerIDKey), K8SPodUID: string(otel.K8SPodUIDKey), K8SPodName: string(otel.K8SPodNameKey),
		K8SNamespaceName: string(otel.K8SNamespaceNameKey),
		HostName:         string(otel.HostNameKey), HostID: string(otel.HostIDKey),
		ErrorTypeOther: otel.ErrorTypeOther.Value.AsString(),
		SchemaURL:      otel.SchemaURL,
	}
	for n, id := range names(t, "otel.go") {
		if n == NetworkVLANID {
			continue
		}
		if published[n] != n {
			t.Errorf("%s: %q is not in the conventions (%q)", id, n, published[n])
		}
	}
}
