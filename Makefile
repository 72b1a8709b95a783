# make demo    the main job on real data, three parties on this machine
# make test    every test that CI runs
# make ladder  the SQL corpora of other projects, and which of their records fail
# make faults  kills nodes of this build for ROUNDS rounds and compares them with a model
# make verify  the gate: read-only checks, then the tests
# make bench   the table of BENCHMARKS.md on this machine
# make fix     what of it can be mended by a program
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test ladder faults verify bench fix

# Every recipe takes the build's environment (RocksDB, target folder) from one place.
ENV := source scripts/build-env.sh

help:
	@sed -n 's/^# make/make/p' Makefile

demo:
	@scripts/install-deps.sh
	@$(ENV); cargo build --locked --release --bins
	@$(ENV); scripts/demo.sh

# The cluster tests start the real `trined`; testing the whole workspace builds it before any test runs.
test:
	@scripts/install-deps.sh
	@$(ENV); cargo test --locked --workspace

# The corpora are not part of this repository. Failing records are no failure here: they are listed.
# Where there is a PostgreSQL it says which of them it would accept.
CORPORA ?= ../shared/corpora
ladder:
	@scripts/install-deps.sh
	@$(ENV); cargo build --locked --release --bins
	@$(ENV); scripts/with-postgres.sh $${CARGO_TARGET_DIR:-target}/release/trine-sql-tests \
		--jobs "$$(nproc)" --postgres --report sql-tests/UNSUPPORTED.md $(CORPORA) || [ $$? -eq 1 ]

# A failing run names its seed; --only POINT (see trine-faults --help) narrows it down.
SEED ?= 1
ROUNDS ?= 100
faults:
	@scripts/install-deps.sh
	@$(ENV); cargo build --locked -p trine-node -p trine-faults --bins
	@$(ENV); $${CARGO_TARGET_DIR:-target}/debug/trine-faults --seed $(SEED) --rounds $(ROUNDS)

verify:
	@scripts/install-deps.sh
	@cargo fmt --all --check
	@$(ENV); cargo clippy --locked --workspace --all-targets -- -D warnings
	@$(ENV); RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	@$(ENV); scripts/check-deny.sh
	@$(ENV); cargo test --locked --workspace

bench:
	@scripts/install-deps.sh
	@$(ENV); cargo build --locked --release --bins
	@scripts/bench.sh

fix:
	@$(ENV); cargo clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	@cargo fmt --all
