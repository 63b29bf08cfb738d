package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlugin: testdata/kv.pcap.gz is 40 pipelines of three requests of the private
// protocol, taken with tcpdump on loopback; the plugin finds all of them.
func TestPlugin(t *testing.T) {
	plugin := filepath.Join("..", "..", "examples", "plugins", "private_protocol", "plugin.wasm")
	var out, said bytes.Buffer
	args := []string{"-plugin", plugin, "-call-timeout", "5s", "-unparsed", "29107", filepath.Join("testdata", "kv.pcap.gz")}
	if err := run(args, &out, &said); err != nil {
		t.Fatal(err, said.String())
	}
	text := out.String()
	if !strings.HasPrefix(text, "plugin private_protocol: ABI version 1, hooks: check_payload, parse_payload\n") {
		t.Errorf("begins %.100q", text)
	}
	for what, want := range map[string]int{
		"found ": 120, "+ kv.key: key/": 120, "+ hopscope.session.operation: get": 40, "+ hopscope.response.status: server_error": 40,
		"+ span.status: error": 80, "+ hopscope.session.type: session": 120, // seen from neither end
	} {
		if n := strings.Count(text, what); n != want {
			t.Errorf("%q is there %d times, want %d", what, n, want)
		}
	}
	if !strings.Contains(said.String(), "unparsed messages: 120 exchanges, paired\n") || !strings.Contains(said.String(), " ns each, 120 spans changed, 128 KiB of memory\n") {
		t.Errorf("said %s", said.String())
	}

	// Alone it tells whether a plugin loads.
	out.Reset()
	if err := run([]string{"-plugin", plugin}, &out, &said); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v, %s", err, out.String())
	}
	if err := run([]string{"-plugin", "plugins_test.go"}, &out, &said); err == nil || !strings.Contains(err.Error(), "not a WebAssembly") {
		t.Errorf("what is no plugin: %v", err)
	}
}
