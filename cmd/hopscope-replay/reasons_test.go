package main

import "strings"

// whatTruth is the operation or the target of an exchange as the truth has it, in
// words that whatOurs has too.
func whatTruth(proto, kind, resource string) string {
	switch proto {
	case "http", "http2", "fastcgi":
		if _, after, ok := strings.Cut(resource, "://"); ok && !strings.HasPrefix(resource, "/") {
			_, after, _ = strings.Cut(after, "/")
			resource = "/" + after
		}
		path, _, _ := strings.Cut(resource, "?")
		if kind == "CONNECT" {
			return kind
		}
		return strings.TrimSpace(kind + " " + path)
	case "dns":
		if resource == "<root>" {
			return "."
		}
		return strings.ToLower(strings.TrimSuffix(resource, "."))
	case "grpc":
		return strings.TrimPrefix(resource, "/")
	case "thrift", "tls":
		return resource
	case "mongodb", "kafka", "mqtt", "nats", "amqp", "redis":
		return strings.ToUpper(kind)
	case "memcached":
		op, _, _ := strings.Cut(strings.ToLower(kind), " ") // Get Key Quietly
		if text, ok := binaryNames[op]; ok {
			op = text
		}
		key, _, _ := strings.Cut(resource, " ")
		return strings.TrimSpace(op + " " + key)
	case "ldap":
		return strings.TrimSuffix(strings.TrimSuffix(kind, "Request"), "Req")
	case "postgresql", "mysql", "cassandra":
		word, _, _ := strings.Cut(strings.TrimSpace(resource), " ")
		word = strings.TrimSuffix(word, ";")
		if kind != "QUERY" {
			word = ""
		}
		return strings.ToUpper(word)
	}
	return ""
}

// binaryNames are the truth's of Memcached's binary commands that are not their
// text ones.
var binaryNames = map[string]string{"increment": "incr", "decrement": "decr", "statistics": "stats", "no-op": "noop"}

// whatOurs is the same of a span.
func whatOurs(proto string, attr func(string) string) string {
	switch proto {
	case "http", "http2", "fastcgi":
		method := attr("http.request.method")
		if method == "CONNECT" {
			return method
		}
		if original := attr("http.request.method_original"); original != "" {
			method = original
		}
		return strings.TrimSpace(method + " " + attr("url.path"))
	case "dns":
		return strings.ToLower(attr("dns.question.name"))
	case "grpc", "thrift":
		return attr("rpc.method")
	case "tls":
		return attr("server.address")
	case "mongodb", "redis", "postgresql", "mysql", "cassandra":
		return strings.ToUpper(attr("db.operation.name"))
	case "memcached":
		words := strings.Fields(attr("db.query.text"))
		return strings.Join(append([]string{attr("db.operation.name")}, words[min(1, len(words)):min(2, len(words))]...), " ")
	case "ldap":
		return attr("hopscope.session.operation")
	case "mqtt", "nats", "amqp", "kafka":
		return strings.ToUpper(attr("messaging.operation.name"))
	}
	return ""
}

// place is a protocol in a capture.
type place struct{ proto, capture string }

// reason is why the truth and the spans are not the same, so that a reader can
// check: that many frames of the capture pass filter (tshark -r capture -Y
// filter), or the exchanges are those of another, whole capture (same).
type reason struct {
	shortfall
	why    string
	filter string
	frames int
	same   string
	tags   bool // PostgreSQL: the answers' tags say whose they are
}
