#!/usr/bin/env bash
# What reading captures costs: HTTP/1 keep-alive, pipelined Redis, MySQL, and all
# of them in one file, captured on the spot from real servers in network
# namespaces; then hopscope-replay (stages 2 to 6, one core) against tshark, and
# suricata if it is installed, on the same files. Needs root, and 2 GB in TMPDIR.
#
#	scripts/bench-packets.sh [seconds of load for each]     (default 5)
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
seconds=${1:-5}
[ "$(id -u)" = 0 ] || { echo "bench-packets: not root: no captures can be made"; exit 0; }
for p in ip tcpdump nginx wrk redis-server redis-benchmark; do
	command -v $p >/dev/null || { echo "bench-packets: skipped: $p is not installed"; exit 0; }
done

dir=$(mktemp -d) a=hb-a-$$ b=hb-b-$$
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || :; done
	wait 2>/dev/null || :
	ip netns del $a 2>/dev/null || :
	ip netns del $b 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT
chmod 755 "$dir"
ip netns add $a; ip netns add $b
ip -n $a link add v0 type veth peer name v1 netns $b
ip -n $a addr add 10.92.0.1/24 dev v0; ip -n $b addr add 10.92.0.2/24 dev v1
ip -n $a link set v0 up; ip -n $b link set v1 up; ip -n $b link set lo up
# Not functions: what runs in the background must be the program itself, so that
# its pid is the one to end.
in_a="ip netns exec $a" in_b="ip netns exec $b"

# capture NAME COMMAND...: what COMMAND causes, as NAME.pcap.
capture() {
	local name=$1; shift
	$in_b tcpdump -i v1 -s 0 -B 65536 -w "$dir/$name.pcap" -Z root >/dev/null 2>"$dir/tcpdump.log" & local t=$!
	for _ in $(seq 50); do grep -q listening "$dir/tcpdump.log" && break; sleep 0.1; done
	"$@" >/dev/null 2>&1 || [ $? = 124 ] || echo "$name: the load tool failed"
	sleep 1
	kill $t; wait $t 2>/dev/null || :
}

mkdir -p "$dir/www"; head -c 400 /dev/zero | tr '\0' x >"$dir/www/item.json"
cat >"$dir/nginx.conf" <<N
daemon off; worker_processes 1; pid $dir/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir;
uwsgi_temp_path $dir; scgi_temp_path $dir; server { listen 10.92.0.2:8080; root $dir/www; } }
N
$in_b nginx -c "$dir/nginx.conf" & pids+=($!)
$in_b redis-server --bind 10.92.0.2 --port 6379 --save '' --appendonly no --protected-mode no --daemonize no >/dev/null & pids+=($!)
mysql=
if command -v mariadbd >/dev/null && command -v mysqlslap >/dev/null; then
	mkdir -p "$dir/db"; chown mysql "$dir/db" 2>/dev/null || :
	if mariadb-install-db --datadir="$dir/db" --user=mysql --auth-root-authentication-method=normal --skip-test-db >"$dir/db.log" 2>&1; then
		$in_b mariadbd --no-defaults --datadir="$dir/db" --user=mysql --bind-address=10.92.0.2 --port=3306 --socket="$dir/db/s" \
			--pid-file="$dir/db/pid" --skip-grant-tables --skip-name-resolve >>"$dir/db.log" 2>&1 & pids+=($!)
		for _ in $(seq 100); do [ -S "$dir/db/s" ] && mysql=1 && break; sleep 0.1; done
	fi
fi
sleep 1
capture http1 $in_a wrk -t1 -c16 -d"${seconds}s" http://10.92.0.2:8080/item.json
capture redis timeout "$seconds" $in_a redis-benchmark -h 10.92.0.2 -P 32 -c 8 -n 100000000 -r 1000 -d 64 -t set,get
names="http1 redis"
if [ -n "$mysql" ]; then
	capture mysql timeout "$seconds" $in_a mysqlslap --host=10.92.0.2 --port=3306 --user=root --ssl=0 --concurrency=4 \
		--iterations=1000 --number-of-queries=20000 --create-schema=bench --auto-generate-sql --auto-generate-sql-load-type=mixed
	names="$names mysql"
fi
if command -v mergecap >/dev/null; then
	mergecap -a -F pcap -w "$dir/mixed.pcap" $(for n in $names; do echo "$dir/$n.pcap"; done)
	names="$names mixed"
fi

go build -o "$dir/replay" ./cmd/hopscope-replay
# cost COMMAND...: seconds of CPU, and peak memory in MiB.
cost() { /usr/bin/env python3 - "$@" <<'P'
import os, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
r = resource.getrusage(resource.RUSAGE_CHILDREN)
print("%.3f %d" % (r.ru_utime + r.ru_stime, r.ru_maxrss // 1024))
P
}
printf '%-8s %8s %10s | %-14s %8s %12s %8s %8s %10s\n' capture MB packets reader 'CPU s' packets/s MB/s MiB exchanges
for n in $names; do
	f=$dir/$n.pcap
	mb=$(($(stat -c %s "$f") / 1000000))
	packets=$("$dir/replay" -format none -stats "$f" 2>&1 | awk '$1 == "frames" { print $2 }')
	exchanges=$("$dir/replay" -format none -stats "$f" 2>&1 | awk '$1 == "exchanges" { print $2 }')
	line() { # NAME RUNS EXCHANGES COMMAND...: the median
		local name=$1 runs=$2 x=$3; shift 3
		read -r cpu rss < <(for _ in $(seq "$runs"); do cost "$@"; done | sort -n | sed -n "$((runs / 2 + 1))p")
		awk -v n="$n" -v mb="$mb" -v p="$packets" -v r="$name" -v c="$cpu" -v m="$rss" -v x="$x" \
			'BEGIN { printf "%-8s %8d %10d | %-14s %8.2f %12d %8d %8d %10s\n", n, mb, p, r, c, p/c, mb/c, m, x }'
	}
	line hopscope 3 "$exchanges" env GOMAXPROCS=1 "$dir/replay" -format none "$f"
	! command -v tshark >/dev/null || line tshark 1 - tshark -r "$f" -T fields -e frame.number -e http.request.method -e mysql.command
	! command -v suricata >/dev/null || line suricata 3 - suricata --runmode single -r "$f" -l "$dir" -k none
done
