#!/usr/bin/env bash
# Licences, advisories, sources and owner crates (deny.toml). Without cargo-deny the two checks that
# need no network are made here: licences from cargo metadata, owners from the manifests.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cargo-deny >/dev/null 2>&1; then
  exec cargo deny --locked check
fi
echo "cargo-deny is not installed: advisories and sources are not checked (cargo install --locked cargo-deny)" >&2
if ! command -v python3 >/dev/null 2>&1; then
  echo "python3 is not installed: licences and owner crates are not checked" >&2
  exit 0
fi
host=$(rustc -vV | sed -n "s/^host: //p")
cargo metadata --locked --filter-platform "$host" --format-version 1 | python3 scripts/check_licences.py deny.toml
