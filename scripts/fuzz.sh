#!/usr/bin/env bash
# Runs the fuzz targets of the module, one after the other, and says how long
# that will take.
#
#	scripts/fuzz.sh [TIME [PATTERN]]	each for TIME, 60s if not given; those
#						whose folder or name matches PATTERN
#	scripts/fuzz.sh 1h l7/kafka		an hour for one parser
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-60s} pattern=${2:-.}
mapfile -t targets < <(
	git grep -l -E '^func Fuzz[A-Z]' -- '*_test.go' | sort | while read -r f; do
		sed -n "s|^func \(Fuzz[A-Za-z0-9_]*\)(.*|./$(dirname "$f") \1|p" "$f"
	done | grep -E -- "$pattern" || true
)
if [ ${#targets[@]} = 0 ]; then
	echo "fuzz: no target matches $pattern" >&2
	exit 1
fi
about=
if [[ $time =~ ^([0-9]+)([smh])$ ]]; then
	seconds=${BASH_REMATCH[1]}
	case ${BASH_REMATCH[2]} in m) seconds=$((seconds * 60)) ;; h) seconds=$((seconds * 3600)) ;; esac
	minutes=$((seconds * ${#targets[@]} / 60))
	about=", together $((minutes / 60)) h $((minutes % 60)) min and the time to compile them"
fi
echo "fuzz: ${#targets[@]} targets, each for $time$about"

failed=()
for target in "${targets[@]}"; do
	read -r pkg fuzz <<<"$target"
	echo "== $pkg $fuzz for $time"
	go test -run='^$' -fuzz="^$fuzz\$" -fuzztime="$time" -fuzzminimizetime=10x "$pkg" </dev/null || failed+=("$target")
done
echo "fuzz: ${#targets[@]} targets, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
	printf '  %s\n' "${failed[@]}" >&2
	exit 1
fi
