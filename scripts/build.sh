#!/usr/bin/env bash
# Builds bin/hopscope out of a manifest, and bin/hopscope-replay.
#
#	scripts/build.sh [MANIFEST]
#
# ocb, the OpenTelemetry Collector builder, writes the program's main package
# and go.mod into the manifest's output_path; the go command then compiles it.
# (Plain `ocb --config MANIFEST` does both; it is silent for the minutes that a
# first build takes, so the compiling is done here, with ocb's own flags.)
set -euo pipefail
cd "$(dirname "$0")/.."

manifest=${1:-builder-config.yaml}
out=$(sed -n 's/^ *output_path: *//p' "$manifest")
name=$(sed -n 's/^ *name: *//p' "$manifest" | head -n 1)
[ -n "$out" ] && [ -n "$name" ] || { echo "$manifest: no dist.output_path or dist.name" >&2; exit 1; }
command -v go >/dev/null || { echo "go is not installed: https://go.dev/dl (1.26 or newer)" >&2; exit 1; }

# counted prints how far `go build -v` has come: on a terminal in one line, else
# every 15 seconds.
counted() {
	local n=0 said=$SECONDS tty=
	[ -t 2 ] && tty=1
	while IFS= read -r line; do
		case $line in
		*' '* | '#'*) printf '%s\n' "$line" >&2; continue ;; # not a package: an error
		esac
		n=$((n + 1))
		if [ -n "$tty" ]; then
			printf '\r\033[K  %d of at most %d packages, %d s: %s' "$n" "$1" "$SECONDS" "$line" >&2
		elif [ $((SECONDS - said)) -ge 15 ]; then
			said=$SECONDS
			printf '  %d of at most %d packages, %d s\n' "$n" "$1" "$SECONDS" >&2
		fi
	done
	[ -z "$tty" ] || printf '\r\033[K' >&2
}

# beating says every 15 seconds that a silent command still runs.
beating() {
	local what=$1 beat
	shift
	( for ((i = 15; ; i += 15)); do sleep 15; echo "  $what: $i s" >&2; done ) &
	beat=$!
	local rc=0
	"$@" || rc=$?
	kill "$beat" 2>/dev/null; wait "$beat" 2>/dev/null || true
	return $rc
}

echo "building bin/$name from $manifest (the first time: 4 to 7 minutes and about 400 MB of modules; then seconds)"
mkdir -p bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! beating "resolving and downloading modules" \
	go tool -modfile=internal/tools/go.mod builder --config "$manifest" --skip-compilation >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi

# Our own packages are compiled for what scripts/hopscope.pgo saw being done most
# (`make profile`). Go's -pgo would compile the 1,700 others anew with each profile,
# for nothing that shows. The go command knows a flag by its text, not by what is
# in the file: so the file is named by its content, and by nothing of this checkout.
pgo=${XDG_CACHE_HOME:-$HOME/.cache}/hopscope/$(sha256sum scripts/hopscope.pgo | cut -c 1-16).pgo
mkdir -p "${pgo%/*}"
cmp -s scripts/hopscope.pgo "$pgo" || { cp scripts/hopscope.pgo "$pgo.$$"; mv "$pgo.$$" "$pgo"; }
flags=(-trimpath "-gcflags=github.com/hopscope/hopscope/...=-pgoprofile=$pgo")

export CGO_ENABLED=0
root=$PWD
(
	cd "$out"
	total=$(go list -deps . | wc -l)
	go build -v "${flags[@]}" -ldflags='-s -w' -o "$root/bin/$name" . 2>&1 | counted "$total"
)
[ ! -d cmd/hopscope-replay ] || go build "${flags[@]}" -o bin/ ./cmd/hopscope-replay
printf 'built %s in %d s\n' "$(cd bin && ls -1 | sed 's|^|bin/|' | paste -sd ' ')" "$SECONDS"
