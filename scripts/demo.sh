#!/usr/bin/env bash
# The main job on real data: three parties on this machine, five data owners, one analyst.
# On a terminal it ends in the analyst's shell, in a pipe it stops the cluster and ends.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="${CARGO_TARGET_DIR:-target}/${DEMO_PROFILE:-release}"
run=demo/run
owners=(insurer employer clinic_a clinic_b hospital)
cluster=

stop() {
  [ -n "$cluster" ] || return 0
  kill "$cluster" 2>/dev/null || true
  wait "$cluster" 2>/dev/null || true
  cluster=
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }
seconds() { awk -v from="$1" -v to="$(date +%s.%N)" 'BEGIN { printf "%.2f s", to - from }'; }
as() { local who=$1; shift; "$bin/trine" "$1" --config "$run/$who.toml" "${@:2}"; }

say "Three parties on loopback (mutual TLS, Raft, Parquet), under $run"
mkdir -p "$run"
ready=$(mktemp)
"$bin/trined" dev --dir "$run" --fresh >"$ready" &
cluster=$!
until grep -q '^READY' "$ready"; do
  if ! kill -0 "$cluster" 2>/dev/null; then
    echo "trined dev ended before it was ready; see $run/node*/log" >&2
    exit 1
  fi
  sleep 0.1
done
rm -f "$ready"
echo "READY"

say "The administrator enrols five owners and an analyst; each gets a key of their own"
for who in "${owners[@]}" analyst; do
  "$bin/trine" admin --config "$run/client.toml" enrol "$who" -o "$run/$who.toml"
done

say "Every owner creates their table, grants SELECT to the analyst, and loads their file"
for owner in "${owners[@]}"; do
  as "$owner" sql -f "demo/schema/$owner.sql" >/dev/null
  from=$(date +%s.%N)
  as "$owner" load "demo/data/$owner.csv" --table "$owner"
  echo "  in $(seconds "$from"), cut on the owner's side, unique keys checked under MPC"
done

oracle=("$bin/trine-oracle")
for owner in "${owners[@]}"; do
  oracle+=(--schema "demo/schema/$owner.sql" --csv "$owner=demo/data/$owner.csv")
done
same=0
for query in q1_cost_by_coinsurance q2_income_band q3_clinic_vs_hospital; do
  say "The analyst asks $query"
  cat "demo/queries/$query.sql"
  from=$(date +%s.%N)
  as analyst sql --format csv -f "demo/queries/$query.sql" -o "$run/$query.csv"
  took=$(seconds "$from")
  echo
  cat "$run/$query.csv"
  echo
  printf 'in %s; the same over the CSV files in the clear: ' "$took"
  "${oracle[@]}" --against "$run/$query.csv" "demo/queries/$query.sql" || same=1
done

say "What q1 costs and what the nodes learn from it (EXPLAIN ANALYZE: counted)"
as analyst sql -c "EXPLAIN ANALYZE $(cat demo/queries/q1_cost_by_coinsurance.sql)"

say "The second row of clinic_a.csv, and what node 1 holds of it"
sed -n '1p;3p' demo/data/clinic_a.csv
echo
"$bin/trine-peek" --data "$run/node1/data" --schema demo/schema/clinic_a.sql --table clinic_a --row 2
echo
echo "Either component alone is uniformly random; a value is the xor or the sum of three, and node 1 has two."

if [ "$same" -ne 0 ]; then
  echo "An answer differs from the plaintext one." >&2
  exit 1
fi

if [ -t 0 ] && [ -t 1 ]; then
  say "Your turn: the analyst's shell (\\d lists tables, \\q leaves and stops the cluster)"
  as analyst sql || true
fi
say "Stopping the three parties"
