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
go -C test/bench/completion vet . # a module of its own: nobody else compiles it

# Parsers are plain functions that one goroutine owns, and their examination plays
# each case some thousand times: the race detector would make minutes of it and
# find nothing. RACE_ALL=1 runs it all the same.
mapfile -t parsers < <(go list ./internal/l7/... )
mapfile -t units < <(go list ./... | grep -v -e '/test/' -e '/internal/l7')
[ -z "${RACE_ALL:-}" ] || { units+=("${parsers[@]}"); parsers=(); }

failed=()
tests() {
	local name=$1
	shift
	echo "== $name"
	"$@" || failed+=("$name")
}
tests "go test $race (${#units[@]} packages)" go run ./scripts/gotest $race -timeout 15m "${units[@]}"
[ ${#parsers[@]} = 0 ] || tests "go test ./internal/l7/... (${#parsers[@]} packages)" go run ./scripts/gotest -timeout 15m "${parsers[@]}"
tests "make build" scripts/build.sh
tests "go test ./test/..." env HOPSCOPE_BIN="$PWD/bin/hopscope" go run ./scripts/gotest -count=1 -timeout 20m ./test/...
if [ ${#failed[@]} -gt 0 ]; then
	printf 'FAILED: %s\n' "${failed[@]}"
	exit 1
fi
