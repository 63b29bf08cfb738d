#!/usr/bin/env bash
# gofmt, go vet and staticcheck over everything; each says what to mend.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=$(git ls-files -- '*.go' | xargs -r gofmt -l)
if [ -n "$bad" ]; then
	printf 'gofmt would change (gofmt -w FILE):\n%s\n' "$bad" >&2
	exit 1
fi
go vet ./...
go tool -modfile=internal/tools/go.mod staticcheck ./...
echo "lint: clean"
