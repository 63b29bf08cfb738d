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

# fuzz runs one target. Up to Go 1.26 the fuzzer may report its own deadline as
# a failure of the target, without an input that fails (go.dev/issue/75804): only
# that is tried again, and counts as a failure when it comes three times.
out=$(mktemp)
trap 'rm -f "$out"' EXIT
fuzz() {
	local try
	for try in 1 2 3; do
		if go test -run='^$' -fuzz="^$2\$" -fuzztime="$time" -fuzzminimizetime=10x "$1" </dev/null 2>&1 | tee "$out"; then
			return 0
		fi
		if ! grep -q '^    context deadline exceeded$' "$out" || grep -q 'Failing input written' "$out"; then
			return 1
		fi
		echo "fuzz: $1 $2: the fuzzer's own deadline, no input that fails (try $try of 3)"
	done
	return 1
}

failed=()
for target in "${targets[@]}"; do
	read -r pkg fuzz <<<"$target"
	echo "== $pkg $fuzz for $time"
	fuzz "$pkg" "$fuzz" || failed+=("$target")
done
echo "fuzz: ${#targets[@]} targets, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
	printf '  %s\n' "${failed[@]}" >&2
	exit 1
fi
