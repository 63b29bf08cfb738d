#!/usr/bin/env bash
# All tests: vet, unit and BPF tests with the race detector, then the build and
# the tests in test/ that run the built programs against real servers.
# As root on Debian it installs what it needs; else it says what it skips.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh test
PATH=$PATH:/usr/sbin:/sbin

race=-race
if ! command -v gcc >/dev/null || [ "$(go env CGO_ENABLED)" != 1 ]; then
	race=
	echo "no C compiler: tests run without the race detector"
fi
[ "$(id -u)" = 0 ] || echo "not root: tests that load BPF programs or make network namespaces skip themselves"

echo "== go vet"
go vet ./...

mapfile -t units < <(go list ./... | grep -v '/test/')
echo "== go test $race (${#units[@]} packages)"
go run ./scripts/gotest $race -timeout 15m "${units[@]}"

echo "== make build"
scripts/build.sh

echo "== go test ./test/..."
HOPSCOPE_BIN=$PWD/bin/hopscope go run ./scripts/gotest -count=1 -timeout 20m ./test/...
