#!/usr/bin/env bash
# Sends spans through bin/hopscope to a real Jaeger and asks them back, those of
# three hosts with a collector each too (test/hosts). Jaeger is
# built from its source at a pinned version (test/jaeger/go.mod) the first time,
# about 5 minutes on 2 cores, and kept outside the repository.
#
#	scripts/test-e2e.sh            build Jaeger if need be, then test bin/hopscope
#	scripts/test-e2e.sh --cached   only tell (by the exit status) whether it is built
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^require github.com\/jaegertracing\/jaeger //p' test/jaeger/go.mod)
jaeger=${XDG_CACHE_HOME:-$HOME/.cache}/hopscope/jaeger-$version/jaeger
if [ "${1:-}" = --cached ]; then
	[ -x "$jaeger" ]
	exit
fi
if [ ! -x "$jaeger" ]; then
	echo "building Jaeger $version into $jaeger: about 5 minutes, once"
	mkdir -p "$(dirname "$jaeger")"
	CGO_ENABLED=0 go -C test/jaeger build -trimpath -ldflags='-s -w' -o "$jaeger.new" github.com/jaegertracing/jaeger/cmd/jaeger
	mv "$jaeger.new" "$jaeger"
fi
HOPSCOPE_BIN=$PWD/bin/hopscope HOPSCOPE_JAEGER=$jaeger go run ./scripts/gotest -count=1 -run "Jaeger|Agent" -v ./test/e2e ./test/hosts ./test/pinpoint
