#!/usr/bin/env bash
# Builds the example plugins and those that tests use, where they stand. They are
# committed: who wants to try one needs no compiler. Go plugins come from the Go
# that go.mod names, C ones from clang-19 and lld-19.
set -euo pipefail
cd "$(dirname "$0")/.."

for dir in http_status_rewrite dubbo_ids; do
	GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -buildmode=c-shared \
		-o "examples/plugins/$dir/plugin.wasm" "./examples/plugins/$dir"
done
c() { # target directory, source, more flags
	clang-19 --target=wasm32 -O2 -Wall -Wextra -nostdlib -fuse-ld=lld -Wl,--no-entry -Wl,--strip-all -I sdk/c "${@:3}" -o "$1" "$2"
}
for dir in private_protocol grpc_business_id; do
	c "examples/plugins/$dir/plugin.wasm" "examples/plugins/$dir/plugin.c"
done
c internal/wasmhost/testdata/hostile.wasm internal/wasmhost/testdata/hostile.c -O1 -mbulk-memory -Wno-everything
for name in head state affinity; do
	c "internal/wasmhost/testdata/$name.wasm" "internal/wasmhost/testdata/$name.c"
done
chmod -x examples/plugins/*/plugin.wasm internal/wasmhost/testdata/*.wasm
