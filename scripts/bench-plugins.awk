#!/usr/bin/awk -f
# Rows of Go benchmarks as a table: the best of the rounds of each.
/^Benchmark/ {
	split($1, part, /[\/-]/)
	name = part[2]
	if (part[3] !~ /^[0-9]*$/) name = name ", bound: " part[3]
	for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
	if (!(name in cpu)) order[++n] = name
	if (!(name in cpu) || v["cpu-ns/op"] + 0 < cpu[name]) {
		cpu[name] = v["cpu-ns/op"] + 0
		memory[name] = v["memory-KiB"]
	}
	if (!(name in clock) || v["ns/op"] + 0 < clock[name]) clock[name] = v["ns/op"] + 0
	delete v
}
/^(FAIL|panic|---)/ { print > "/dev/stderr"; failed = 1 }
END {
	for (i = 1; i <= n; i++) {
		k = order[i]
		printf "| %s%s | %d | %d | %d | %s |\n", kind, k, cpu[k], clock[k], 1e9 / cpu[k], memory[k]
	}
	exit failed
}
