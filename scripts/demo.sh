#!/usr/bin/env bash
# The main job on real data: five owners load their own tables into three parties on this machine,
# an analyst asks across all of them, the answers are compared with plaintext ones. On a terminal it
# ends in the analyst's shell.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="${CARGO_TARGET_DIR:-target}/release"
run=demo/run
owners=(insurer clinic_a clinic_b hospital employer)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
plain() { printf '\n== %s\n' "$*"; }
[ -t 1 ] || say() { plain "$@"; }
# Runs a command as one of the principals.
as() { local who=$1; shift; TRINE_CONFIG="$run/$who.toml" "$@"; }

cluster=
finish() {
  if [ -n "$cluster" ] && kill -0 "$cluster" 2>/dev/null; then
    kill -TERM "$cluster"
    wait "$cluster" || true
  fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "Three parties on this machine: three processes, TLS between them, a data folder each ($run/node0..2)"
mkdir -p demo
ready=$(mktemp)
"$bin/trined" dev --dir "$run" --fresh >"$ready" &
cluster=$!
until grep -q '^READY' "$ready"; do
  kill -0 "$cluster" 2>/dev/null || { cat "$ready"; exit 1; }
  sleep 0.1
done
rm -f "$ready"
TRINE_CONFIG="$run/client.toml" "$bin/trine" admin status

say "The administrator enrols five data owners and an analyst, each with a key of their own"
for who in "${owners[@]}" analyst; do
  TRINE_CONFIG="$run/client.toml" "$bin/trine" admin enrol "$who" -o "$run/$who.toml"
done

say "Each owner makes a table, lets the analyst ask, and cuts the rows into shares on its own machine"
for owner in "${owners[@]}"; do
  as "$owner" "$bin/trine" sql -f "demo/schema/$owner.sql"
  as "$owner" "$bin/trine" load "demo/data/$owner.csv" --table "$owner"
done

oracle=("$bin/trine-oracle")
for owner in "${owners[@]}"; do
  oracle+=(--schema "demo/schema/$owner.sql" --csv "$owner=demo/data/$owner.csv")
done
for query in q1_cost_by_coinsurance q2_income_band q3_clinic_vs_hospital; do
  say "The analyst asks $query"
  cat "demo/queries/$query.sql"
  start=$(date +%s.%N)
  as analyst "$bin/trine" sql -f "demo/queries/$query.sql" --format csv -o "$run/$query.csv"
  end=$(date +%s.%N)
  cat "$run/$query.csv"
  awk -v a="$start" -v b="$end" 'BEGIN { printf "%.2f s, asked, computed by three parties, opened here\n", b - a }'
  "${oracle[@]}" --against "$run/$query.csv" "demo/queries/$query.sql"
done

say "What q1 costs the three parties, operator by operator, predicted and counted"
as analyst "$bin/trine" sql -c "EXPLAIN ANALYZE $(tr '\n' ' ' <demo/queries/q1_cost_by_coinsurance.sql)"

say "What the insurer knows of its first row, and what the nodes hold of it"
head -2 demo/data/insurer.csv
for node in 0 1 2; do
  "$bin/trined" show --config "$run/node$node/party.toml" --table 0 --row 0
done
echo "Any one of them alone is noise; a value is x0 + x1 + x2 (ring) or x0 ^ x1 ^ x2, less the range's low end (XOR)."

if [ -t 0 ] && [ -t 1 ]; then
  say "Your turn, as the analyst (\\d lists the tables, \\q ends and stops the three parties)"
  as analyst "$bin/trine" sql || true
fi
say "Done; the three parties stop"
