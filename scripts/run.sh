#!/usr/bin/env bash
# Runs bin/hopscope with a configuration, after saying which captures this user
# has no right to and how to get it.
set -euo pipefail
cd "$(dirname "$0")/.."

config=${1:-examples/standalone/config.yaml}

# capability | its number in linux/capability.h | what is off without it
capabilities() {
	cat <<-'T'
	CAP_BPF|39|socket capture: BPF maps and programs cannot be loaded
	CAP_PERFMON|38|socket capture: BPF programs cannot be attached to tracepoints
	CAP_NET_ADMIN|12|the peers of unconnected UDP sockets: cgroup programs cannot be loaded
	CAP_NET_RAW|13|packet capture: no AF_PACKET sockets
	CAP_SYS_PTRACE|19|who a process is: /proc/PID/exe, environ of other users' processes
	CAP_DAC_READ_SEARCH|2|the system call tracepoints' ids: tracefs belongs to root
	T
}

has=$((16#$(sed -n 's/^CapEff:\t//p' /proc/self/status)))
# bin/hopscope may carry capabilities of its own (setcap).
if command -v getcap >/dev/null && [ -n "$(getcap bin/hopscope)" ]; then
	has=-1
fi
off=()
while IFS='|' read -r cap bit without; do
	[ $(((has >> bit) & 1)) = 1 ] || off+=("$cap  $without")
done < <(capabilities)
if [ ${#off[@]} -gt 0 ]; then
	echo "This user lacks privileges. What is off, and why:"
	printf '  %s\n' "${off[@]}"
	cat <<-T
	How to get it, either of:
	  sudo make run
	  sudo setcap cap_bpf,cap_perfmon,cap_net_admin,cap_net_raw,cap_sys_ptrace,cap_dac_read_search+ep bin/hopscope && make run
	SECURITY.md says what each capability is for.
	T
fi

echo "bin/hopscope --config $config   (Ctrl-C ends it)"
exec bin/hopscope --config "$config"
