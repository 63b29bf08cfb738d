#!/usr/bin/env bash
# Installs what a task needs from Debian, if this is Debian and we are root;
# else says what is missing and what is skipped without it.
#
#	scripts/deps.sh test|bench|generate|ci...
#
# No service is started by installing: for the time of the installation a
# policy-rc.d forbids it (unless there is one already).
set -euo pipefail

# command | package | what is skipped without it
table() {
	case $1 in
	test) cat <<-'T'
		gcc|gcc libc6-dev|the race detector
		nginx|nginx-light|tests with HTTP traffic of nginx
		wrk|wrk|tests with HTTP load
		redis-server|redis-server|tests with Redis traffic
		redis-benchmark|redis-tools|tests with Redis load
		mariadbd|mariadb-server|tests with MySQL traffic
		dnsmasq|dnsmasq-base|tests with DNS traffic
		dnsperf|dnsperf|tests with DNS load
		haproxy|haproxy|the causality of HAProxy
		gunicorn|gunicorn|the causality of gunicorn
		curl|curl|the test that follows the README
		h2load|nghttp2-client|tests with HTTP/2 load
		memcached|memcached|tests with Memcached traffic
		mosquitto|mosquitto|tests with MQTT traffic
		mosquitto_pub|mosquitto-clients|tests with MQTT traffic
		nats-server|nats-server|tests with NATS traffic
		pgbench|postgresql|tests with PostgreSQL traffic
		slapd|slapd|tests with LDAP traffic
		php-fpm8.2|php8.2-fpm|tests with FastCGI traffic
		/usr/lib/rabbitmq/bin/rabbitmq-server|rabbitmq-server|tests with AMQP traffic
		/usr/share/zookeeper/bin/zkServer.sh|zookeeper|tests with ZooKeeper traffic
		tshark|tshark|what another reader sees in captures that we read in part
		ip|iproute2|tests in network namespaces
		iptables|iptables|tests with address translation
		ethtool|ethtool|tests with address translation
		T
		;;
	bench) cat <<-'T'
		nginx|nginx-light|the HTTP rows
		wrk|wrk|the HTTP rows at saturation
		redis-server|redis-server|the Redis rows
		redis-benchmark|redis-tools|the Redis rows
		tcpdump|tcpdump|the rows of captures
		tshark|tshark|the comparison with tshark
		mysqlslap|mariadb-client|the MySQL capture
		ethtool|ethtool|captures without offloads
		h2load|nghttp2-client|the HTTP/2 and TLS captures
		pgbench|postgresql postgresql-client|the PostgreSQL captures
		T
		;;
	ci) cat <<-'T'
		make|make|everything
		git|git|everything
		T
		;;
	generate) cat <<-'T'
		clang-19|clang-19|the BPF objects
		llvm-strip-19|llvm-19|the BPF objects
		wasm-ld-19|lld-19|the example plugins in C
		T
		;;
	*) echo "deps: no such task: $1" >&2; return 1 ;;
	esac
}

missing=() packages=()
for task in "$@"; do
	while IFS='|' read -r cmd pkg without; do
		PATH=$PATH:/usr/sbin:/sbin command -v "$cmd" >/dev/null && continue
		missing+=("$cmd (Debian: $pkg): without it, $without")
		read -r -a more <<<"$pkg"
		packages+=("${more[@]}")
	done < <(table "$task")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
	echo "not installed, and not installing: this is not root on Debian. Missing:"
	printf '  %s is skipped\n' "${missing[@]}"
	exit 0
fi

echo "installing: ${packages[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
	tail -n 20 "$log"
	echo "apt-get failed; what is missing is skipped:"
	printf '  %s is skipped\n' "${missing[@]}"
fi
rm -f "$log"
