#!/usr/bin/env bash
# What reading captures costs: captures of real servers (scripts/captures.sh), read
# by hopscope-replay (stages 2 to 6 to the span, one core), tshark and suricata in
# the same run. Each reader's figure is the CPU time of its whole process, the
# median of its runs. Needs root, and 4 GB in TMPDIR. Suricata is not in Debian 12
# itself but in its backports:
#	apt-get install -t bookworm-backports suricata
#
#	scripts/bench-packets.sh [seconds of load for the large captures]     (default 5)
#
# CAPTURES=DIR: the captures are made there, and used again. NAMES: which are read.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
seconds=${1:-5}
[ "$(id -u)" = 0 ] || { echo "bench-packets: not root: no captures can be made"; exit 0; }
dir=${CAPTURES:-}
if [ -z "$dir" ]; then
	dir=$(mktemp -d)
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"; [ -n "${CAPTURES:-}" ] || rm -rf "$dir"' EXIT
if [ ! -e "$dir/names" ]; then
	scripts/captures.sh "$dir" "$seconds" || exit 0
fi
go build -o "$logs/replay" ./cmd/hopscope-replay
# cost COMMAND...: seconds of CPU, and peak memory in MiB.
cost() { /usr/bin/env python3 - "$@" <<'P'
import os, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
r = resource.getrusage(resource.RUSAGE_CHILDREN)
print("%.3f %d" % (r.ru_utime + r.ru_stime, r.ru_maxrss // 1024))
P
}
printf '%-10s %6s %9s | %-9s %7s %10s %6s %5s %9s %7s\n' capture MB packets reader 'CPU s' packets/s MB/s MiB exchanges allocs
for n in ${NAMES:-http1 redis mysql mixed}; do
	f=$dir/$n.pcap
	[ -e "$f" ] || continue
	mb=$(($(stat -c %s "$f") / 1000000))
	stats=$("$logs/replay" -format none -stats "$f" 2>&1)
	packets=$(awk '$1 == "frames" { print $2 }' <<<"$stats")
	exchanges=$(awk '$1 == "exchanges" { print $2 }' <<<"$stats")
	allocs=$(awk '$1 == "allocations" { print $2 }' <<<"$stats")
	line() { # NAME RUNS EXCHANGES ALLOCS COMMAND...
		local name=$1 runs=$2 x=$3 al=$4; shift 4
		read -r cpu rss < <(for _ in $(seq "$runs"); do cost "$@"; done | sort -n | sed -n "$((runs / 2 + 1))p")
		awk -v n="$n" -v mb="$mb" -v p="$packets" -v r="$name" -v c="$cpu" -v m="$rss" -v x="$x" -v al="$al" \
			'BEGIN { printf "%-10s %6d %9d | %-9s %7.2f %10d %6d %5d %9s %7s\n", n, mb, p, r, c, p/c, mb/c, m, x, al == "-" ? al : sprintf("%.2f", al/p) }'
		took=$cpu
	}
	line hopscope 5 "$exchanges" "${allocs:--}" env GOMAXPROCS=1 "$logs/replay" -format none "$f"
	ours=$took
	! command -v tshark >/dev/null || line tshark 1 - - tshark -r "$f" -T fields -e frame.number -e http.request.method -e mysql.command
	if command -v suricata >/dev/null; then
		line suricata 3 - - suricata --runmode single -r "$f" -l "$logs" -k none
		rm -f "$logs"/*.json "$logs"/*.log
		awk -v n="$n" -v a="$ours" -v b="$took" 'BEGIN { printf "%-10s hopscope reads %.1f times the packets of suricata in the same CPU time\n", n, b/a }'
	fi
done
# Memory does not grow with the file.
for n in mixed-quarter mixed mixed-4; do
	f=$dir/$n.pcap
	[ -e "$f" ] || continue
	read -r cpu rss < <(cost env GOMAXPROCS=1 "$logs/replay" -format none "$f")
	printf '%-14s %5d MB read with at most %d MiB, in %.2f s of CPU\n' $n $(($(stat -c %s "$f") / 1000000)) "$rss" "$cpu"
done
