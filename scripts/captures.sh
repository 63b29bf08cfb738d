#!/usr/bin/env bash
# Makes captures of real servers under real load tools, in two network
# namespaces: DIR/NAME.pcap for each server that is installed, and
# DIR/mixed.pcap, which has the first packets of each, as many of every one; with
# mixed-quarter and mixed-4, a quarter of it and four times as much.
# Offloads are off: packets are what a wire carries. Needs root.
#
#	scripts/captures.sh DIR [seconds of load for the large ones] [packets of each in mixed]
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
dir=$1 seconds=${2:-5} share=${3:-40000}
[ "$(id -u)" = 0 ] || { echo "captures: not root: none can be made" >&2; exit 3; }
for p in ip tcpdump; do
	command -v $p >/dev/null || { echo "captures: $p is not installed" >&2; exit 3; }
done
mkdir -p "$dir"; chmod 755 "$dir"
work=$(mktemp -d) a=hb-a-$$ b=hb-b-$$
chmod 755 "$work"
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || :; done
	wait 2>/dev/null || :
	ip netns del $a 2>/dev/null || :
	ip netns del $b 2>/dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT
ip netns add $a; ip netns add $b
ip -n $a link add v0 type veth peer name v1 netns $b
ip -n $a addr add 10.92.0.1/24 dev v0; ip -n $b addr add 10.92.0.2/24 dev v1
for n in $a $b; do ip -n $n link set lo up; done
ip -n $a link set v0 up; ip -n $b link set v1 up
if command -v ethtool >/dev/null; then
	ip netns exec $a ethtool -K v0 tso off gso off gro off tx off >/dev/null 2>&1 || :
	ip netns exec $b ethtool -K v1 tso off gso off gro off tx off >/dev/null 2>&1 || :
fi
# A VXLAN over the same wire.
ip -n $a link add vx type vxlan id 42 local 10.92.0.1 remote 10.92.0.2 dstport 4789 dev v0
ip -n $b link add vx type vxlan id 42 local 10.92.0.2 remote 10.92.0.1 dstport 4789 dev v1
ip -n $a addr add 10.93.0.1/24 dev vx; ip -n $b addr add 10.93.0.2/24 dev vx
ip -n $a link set vx up; ip -n $b link set vx up
# Not functions: what runs in the background must be the program itself, so that
# its pid is the one to end.
in_a="ip netns exec $a" in_b="ip netns exec $b"
have() { for p in "$@"; do command -v "$p" >/dev/null || return 1; done; }
names=()

# capture NAME COMMAND...: what COMMAND causes, as NAME.pcap.
capture() {
	local name=$1; shift
	$in_b tcpdump -i v1 -s 0 -B 65536 -w "$dir/$name.pcap" -Z root >/dev/null 2>"$work/tcpdump.log" & local t=$!
	for _ in $(seq 50); do grep -q listening "$work/tcpdump.log" && break; sleep 0.1; done
	"$@" >"$work/load.log" 2>&1 || [ $? = 124 ] || { echo "captures: $name: the load tool failed: $(tail -n 1 "$work/load.log")" >&2; }
	sleep 0.5
	kill $t; wait $t 2>/dev/null || :
	names+=("$name")
}
# large NAME LOAD: the same, for a LOAD of as many seconds as it is told, and of
# twice as many until the capture is large enough to be measured.
large() {
	local s=$seconds
	while :; do
		capture "$1" "$2" $s
		[ "$(stat -c %s "$dir/$1.pcap")" -lt $enough ] && [ $s -lt 40 ] || break
		s=$((s * 2))
		unset 'names[-1]'
	done
}
enough=55000000
http1() { $in_a wrk -t1 -c16 -d"$1s" http://10.92.0.2:8080/item.json; }
redis() { timeout "$1" $in_a redis-benchmark -h 10.92.0.2 -P 32 -c 8 -n 100000000 -r 1000 -d 64 -t set,get; }
mysql() {
	timeout "$1" $in_a mysqlslap --host=10.92.0.2 --port=3306 --user=root --ssl=0 --concurrency=4 \
		--iterations=1000 --number-of-queries=200000 --create-schema=bench --auto-generate-sql --auto-generate-sql-load-type=key \
		--auto-generate-sql-add-autoincrement --auto-generate-sql-write-number=1000
}
up() { for _ in $(seq 100); do $in_b ss -ltun | grep -q ":$1 " && return 0; sleep 0.1; done; echo "captures: nothing listens on $1" >&2; return 1; }

if have nginx; then
	mkdir -p "$work/www"; head -c 400 /dev/zero | tr '\0' x >"$work/www/item.json"; head -c 400000 /dev/urandom >"$work/www/big.bin"
	tls=
	if have openssl && openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -days 2 -subj /CN=bench >/dev/null 2>&1; then
		tls="server { listen 10.92.0.2:8443 ssl; ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem; root $work/www; }"
	fi
	cat >"$work/nginx.conf" <<N
daemon off; worker_processes 1; pid $work/nginx.pid; error_log stderr crit; user root;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work;
uwsgi_temp_path $work; scgi_temp_path $work;
server { listen 10.92.0.2:8080; listen 10.93.0.2:8080; root $work/www; }
server { listen 10.92.0.2:8081 http2; root $work/www; }
$tls }
N
	$in_b nginx -c "$work/nginx.conf" 2>"$work/nginx.log" & pids+=($!)
	if up 8080 && have wrk; then
		cat >"$work/pipeline.lua" <<'L'
init = function(args) local r = {}; for i = 1, 8 do r[i] = wrk.format(nil, "/item.json") end; req = table.concat(r) end
request = function() return req end
L
		large http1 http1
		capture http1-pipeline $in_a wrk -t1 -c16 -d1s -s "$work/pipeline.lua" http://10.92.0.2:8080/
		capture http1-close $in_a wrk -t1 -c16 -d1s -H 'Connection: close' http://10.92.0.2:8080/item.json
		capture http1-download $in_a wrk -t1 -c4 -d1s http://10.92.0.2:8080/big.bin
		capture http1-vxlan $in_a wrk -t1 -c16 -d1s http://10.93.0.2:8080/item.json
	fi
	! have h2load || capture http2-h2c $in_a h2load -n 20000 -c 8 -m 4 http://10.92.0.2:8081/item.json
	[ -z "$tls" ] || ! have h2load || capture tls $in_a h2load --h1 -n 1500 -c 1500 -t 1 https://10.92.0.2:8443/item.json
fi
if have redis-server redis-benchmark; then
	$in_b redis-server --bind 10.92.0.2 --port 6379 --save '' --appendonly no --protected-mode no --daemonize no >/dev/null & pids+=($!)
	up 6379
	capture redis-p1 $in_a redis-benchmark -h 10.92.0.2 -c 16 -n 20000 -r 1000 -d 64 -t set,get,lpush,hset -q
	large redis redis
fi
if have mariadbd mysqlslap mariadb-install-db; then
	mkdir -p "$work/db"; chown mysql "$work/db" 2>/dev/null || :
	if mariadb-install-db --datadir="$work/db" --user=mysql --auth-root-authentication-method=normal --skip-test-db >"$work/db.log" 2>&1; then
		$in_b mariadbd --no-defaults --datadir="$work/db" --user=mysql --bind-address=10.92.0.2 --port=3306 --socket="$work/db/s" \
			--pid-file="$work/db/pid" --skip-grant-tables --skip-name-resolve >>"$work/db.log" 2>&1 & pids+=($!)
		up 3306 && large mysql mysql
	fi
fi
pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
if [ -n "$pg" ] && have pgbench setpriv; then
	mkdir -p "$work/pg"; chown postgres "$work/pg"
	as="setpriv --reuid=postgres --regid=postgres --clear-groups"
	if $as "$pg/initdb" -D "$work/pg" -A trust -U postgres >"$work/pg.log" 2>&1; then
		echo "host all all 10.92.0.0/24 trust" >>"$work/pg/pg_hba.conf"
		$in_b $as "$pg/postgres" -D "$work/pg" -h 10.92.0.2 -p 5432 -k "$work/pg" >>"$work/pg.log" 2>&1 & pids+=($!)
		if up 5432 && $in_a pgbench -h 10.92.0.2 -U postgres -i -s 1 postgres >>"$work/pg.log" 2>&1; then
			for how in simple extended prepared; do
				capture pgsql-$how $in_a pgbench -h 10.92.0.2 -U postgres -M $how -S -c 4 -T 2 postgres
			done
		fi
	fi
fi
if have dnsmasq dnsperf; then
	$in_b dnsmasq --no-daemon --no-resolv --no-hosts --no-dhcp-interface=v1 --listen-address=10.92.0.2 --bind-interfaces --port=53 \
		--address=/bench.test/10.1.2.3 --cache-size=0 --user=root --pid-file="$work/dns.pid" >/dev/null 2>&1 & pids+=($!)
	for i in $(seq 500); do echo "n$i.bench.test A"; [ $((i % 10)) != 0 ] || echo "no$i.elsewhere.test A"; done >"$work/names"
	sleep 0.5
	capture dns-udp $in_a dnsperf -s 10.92.0.2 -d "$work/names" -l 1 -c 8
	capture dns-tcp $in_a dnsperf -m tcp -s 10.92.0.2 -d "$work/names" -l 1 -c 4
fi

# mix NAME SHARE: the first SHARE packets of each, one after the other.
mix() {
	local parts=() n
	for n in "${all[@]}"; do
		editcap -F pcap -r "$dir/$n.pcap" "$work/part-$n.pcap" "1-$2" 2>/dev/null && parts+=("$work/part-$n.pcap")
	done
	mergecap -a -F pcap -w "$dir/$1.pcap" "${parts[@]}"
	names+=("$1")
}
if have editcap mergecap && [ ${#names[@]} -gt 1 ]; then
	all=("${names[@]}")
	mix mixed "$share"
	# A quarter of it, and four times as much: the same again, each time a quarter
	# of an hour later, when the connections before are forgotten.
	mix mixed-quarter $((share / 4))
	later=("$dir/mixed.pcap")
	for k in 1 2 3; do
		editcap -F pcap -t $((900 * k)) "$dir/mixed.pcap" "$work/later-$k.pcap"
		later+=("$work/later-$k.pcap")
	done
	mergecap -a -F pcap -w "$dir/mixed-4.pcap" "${later[@]}"
	names+=(mixed-4)
fi
printf '%s\n' "${names[@]}" >"$dir/names"
