#!/usr/bin/env bash
# Regenerates everything that is generated and committed: the BPF objects with
# clang-19, what mdatagen makes of metadata.yaml, the golden count of BPF
# instructions, the example plugins. Tools are pinned in internal/tools/go.mod; clang by its name.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh generate
if ! command -v clang-19 >/dev/null; then
	echo "clang-19 is missing, and BPF objects are made with no other: apt-get install clang-19 llvm-19" >&2
	exit 1
fi
go generate ./...
scripts/plugins.sh
go test ./internal/house -count=1 -run "TestProtocolsDoc" -update >/dev/null
