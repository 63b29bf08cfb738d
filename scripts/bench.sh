#!/usr/bin/env bash
# One table: what each stage costs, and as root what tracing costs nginx and Redis.
# Arguments go to test/bench (-rounds 5 -time 10s -only nginx ...).
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh bench
HOPSCOPE_BIN=$PWD/bin/hopscope go run ./test/bench "$@"

# What reading packets costs, against tshark on the same captures.
scripts/bench-packets.sh

# What completing traces costs, against groupbytrace on the same spans.
go -C test/bench/completion run .

# What plugins cost.
scripts/bench-plugins.sh
