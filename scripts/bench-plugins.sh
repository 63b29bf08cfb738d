#!/usr/bin/env bash
# What a WebAssembly plugin costs: a call over 1 KB by language and by what bounds
# it, then a span by who looks at it (native: the same done by the host itself, in
# Go). cpu-ns is the time on the processor, which other work on the machine does not
# lengthen as it does the clock's.
set -euo pipefail
cd "$(dirname "$0")/.."

echo
echo "## Plugins"
echo
echo "| what | cpu ns | ns by the clock | calls/s of one core | instance KiB |"
echo "| --- | --: | --: | --: | --: |"
go test -run '^$' -bench '^BenchmarkCall$' -benchtime "${PLUGIN_CALLS:-200000x}" -count "${PLUGIN_ROUNDS:-3}" ./internal/wasmhost |
	awk -v "kind=call, " -f scripts/bench-plugins.awk
go test -run '^$' -bench '^BenchmarkSpan$' -benchtime "${PLUGIN_CALLS:-200000x}" -count "${PLUGIN_ROUNDS:-3}" ./processor/wasmparserprocessor |
	awk -v "kind=span, " -f scripts/bench-plugins.awk
