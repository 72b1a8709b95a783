#!/usr/bin/env bash
# The table of BENCHMARKS.md: every operation, verified, as Markdown on standard output.
#   scripts/bench.sh [--net tls|mem] [--quick]
# Other programs on the machine spoil the figures. --quick divides the rows by 16.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/build-env.sh

net=tls
divide=1
while [ $# -gt 0 ]; do
  case "$1" in
    --net) net=$2; shift 2 ;;
    --quick) divide=16; shift ;;
    *) echo "usage: scripts/bench.sh [--net tls|mem] [--quick]" >&2; exit 2 ;;
  esac
done

bin=${TRINED:-${CARGO_TARGET_DIR:-target}/release/trined}
if [ ! -x "$bin" ]; then
  cargo build --locked --release --bins >&2
fi

# operation, rows, bits, repetitions
table='round 16000 1 5
and 1048576 64 5
mul 1048576 64 5
lt 1048576 64 5
eq 1048576 64 5
a2b 1048576 64 5
b2a 1048576 64 5
shuffle 1048576 64 5
partition 1048576 64 5
sort 262144 64 3
sort 1048576 32 2
groupby-sum 1048576 32 2
groupby-small 1048576 32 2
join-unique 1048576 32 2
topk 1048576 32 2'

echo "| operation | rows | bits | wall s | CPU s a party | B/row/party | rounds | peak MB | rows/s |"
echo "|---|---|---|---|---|---|---|---|---|"
while read -r operation rows bits repeat; do
  rows=$((rows / divide))
  "$bin" bench "$operation" --rows "$rows" --bits "$bits" --net "$net" --repeat "$repeat" --json |
    tail -n 1 |
    python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["verified"] and d["cost_as_predicted"], d
cells = [d["op"], "%d" % d["rows"], "%d" % d["bits"], "%.4f" % d["wall_s"], "%.4f" % d["cpu_s"],
         "%.2f" % d["bytes_per_row"], "%d" % d["rounds"], "%.0f" % d["peak_rss_mb"],
         "%.3g" % d["elements_per_s"]]
print("| " + " | ".join(cells) + " |")'
done <<<"$table"
