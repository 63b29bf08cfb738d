#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other.
#
#	scripts/fuzz.sh [TIME]      each for TIME, 60s if not given
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-60s}
targets=0 failed=()
while IFS=' ' read -r pkg fuzz; do
	targets=$((targets + 1))
	echo "== $pkg $fuzz for $time"
	go test -run='^$' -fuzz="^$fuzz\$" -fuzztime="$time" -fuzzminimizetime=10x "$pkg" </dev/null || failed+=("$pkg $fuzz")
done < <(
	git grep -l -E '^func Fuzz[A-Z]' -- '*_test.go' | sort | while read -r f; do
		sed -n "s|^func \(Fuzz[A-Za-z0-9_]*\)(.*|./$(dirname "$f") \1|p" "$f"
	done
)
echo "fuzz: $targets targets, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
	printf '  %s\n' "${failed[@]}" >&2
	exit 1
fi
