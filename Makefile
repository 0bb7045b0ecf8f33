# Tollgate: one word per intent. `make test` is what CI runs.
SHELL := /bin/sh
.DEFAULT_GOAL := help

CARGO ?= cargo
# Where artefacts go; cargo reads the same variable.
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
LOCKED := $(if $(wildcard Cargo.lock),--locked)
WASM_CARGO := tests/tools/wasm-cargo
WASM := --target wasm32-wasip1
# The filter is one small module that is loaded into every worker, in a profile of its own.
FILTER := --config tests/tools/filter.toml
# Crates that run natively: all but the filters, which can only be built for Envoy.
NATIVE := --workspace --exclude tollgate-filter --exclude empty-filter --exclude trap-filter
# Length of `make fuzz`, per target.
SECONDS ?= 60
# Runs per line of `make soak`, and its numbers of Envoys.
SEEDS ?= 20
ENVOYS ?= 2,10,30,100

.PHONY: help demo test build lint bench benchledger v8 accuracy soak cluster fuzz deny env tools clean

help: ## this list
	@sed -n 's/^\([a-z][a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: build ## three tiers through a real Envoy, billed to the nano-dollar (KEEP=1 leaves it running, UPSTREAM=https://...)
	@$(CARGO) build $(LOCKED) --release -q -p tollgate-e2e --bin demo
	@"$(CARGO_TARGET_DIR)/release/demo"

test: lint build ## everything CI runs: lints, unit tests, simulations, end-to-end scenarios in a real Envoy
	$(CARGO) test $(LOCKED) -p tollgate-config -p tollgate-wire -p tollgate-core
	$(CARGO) test $(LOCKED) --release -p tollgate-ledger -p tollgate-e2e
	@echo
	@ls -l "$(CARGO_TARGET_DIR)/wasm32-wasip1/release/tollgate_filter.wasm" | awk '{print "filter module: " $$5 " bytes"}'
	@echo "make test: passed (formatting, clippy, build, wire, core, ledger, end to end)"

build: tools ## the filter (target/wasm32-wasip1/release/tollgate_filter.wasm) and the command (target/release/tollgate)
	$(WASM_CARGO) $(FILTER) build $(LOCKED) --release $(WASM) -p tollgate-filter
	@tests/tools/shrink-wasm "$(CARGO_TARGET_DIR)/wasm32-wasip1/release/tollgate_filter.wasm"
	$(WASM_CARGO) $(FILTER) build $(LOCKED) --release $(WASM) -p empty-filter -p trap-filter
	$(CARGO) build $(LOCKED) --release -p tollgate-ledger

lint: tools ## formatting, and clippy without a warning
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) $(NATIVE) --all-targets -- -D warnings
	$(WASM_CARGO) clippy $(LOCKED) $(WASM) -p tollgate-filter -p empty-filter -p trap-filter -- -D warnings
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(CARGO) clippy $(LOCKED) --manifest-path tests/fuzz/Cargo.toml -- -D warnings

bench: build accuracy ## what it costs: criterion for the core, then Envoy's CPU per request beside plain Envoy (ROUNDS=, REQUESTS=)
	$(CARGO) bench $(LOCKED) -p tollgate-core --bench limiter --bench traffic
	@$(CARGO) build $(LOCKED) --release -q -p tollgate-e2e --bin bench
	@"$(CARGO_TARGET_DIR)/release/bench"
	@"$(CARGO_TARGET_DIR)/release/bench" leases
	@"$(CARGO_TARGET_DIR)/release/bench" streams
	@$(MAKE) --no-print-directory v8

benchledger: build ## what the ledger costs: ingest per node, POST /v1/sync under load, growth to 10^6 entries (BENCH_TO=), shares (BENCH_ENGINES=)
	$(CARGO) bench $(LOCKED) -p tollgate-ledger --bench ingest --bench sync --bench growth --bench shares

v8: ## how fast bodies are read in V8, where the filter runs
	@$(WASM_CARGO) $(FILTER) build $(LOCKED) --release -q $(WASM) -p parser-bench
	@tests/tools/shrink-wasm "$(CARGO_TARGET_DIR)/wasm32-wasip1/release/parser-bench.wasm"
	@node --no-warnings tests/tools/run-wasi.mjs "$(CARGO_TARGET_DIR)/wasm32-wasip1/release/parser-bench.wasm"

accuracy: tools ## how far estimates of input are off, by the kind of text, against real tokenizers
	@mkdir -p "$(CARGO_TARGET_DIR)/accuracy"
	@cp tests/accuracy/package.json tests/accuracy/package-lock.json "$(CARGO_TARGET_DIR)/accuracy"
	@cd "$(CARGO_TARGET_DIR)/accuracy" && npm ci --silent --ignore-scripts --no-audit --no-fund
	@node tests/accuracy/corpus.mjs "$(CARGO_TARGET_DIR)/accuracy/corpus.jsonl" "$(CARGO_TARGET_DIR)/accuracy"
	@$(CARGO) bench $(LOCKED) -q -p tollgate-core --bench accuracy

soak: ## global quotas in many simulated worlds, with a table (SEEDS=20 ENVOYS=2,10,30,100), and in every order of a small one; minutes
	SEEDS=$(SEEDS) ENVOYS=$(ENVOYS) $(CARGO) test $(LOCKED) --release -q -p tollgate-core --test lease_sim --test lease_model -- --ignored --nocapture

cluster: build ## three Envoys, three ledgers, three PostgreSQL: all are killed under load, with figures; two minutes
	CLUSTER_OUTAGE_S=30 $(CARGO) test $(LOCKED) --release -p tollgate-e2e --test cluster -- --nocapture --test-threads 1

fuzz: tools ## fuzz the parsers for a while (SECONDS=60 each)
	tests/fuzz/run.sh $(SECONDS)

deny: ## licences, advisories and sources of the dependencies, where cargo-deny is installed
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "cargo-deny is not installed: cargo install --locked cargo-deny"; exit 1; }
	$(CARGO) deny --all-features check

env: tools ## the paths of the tools, as KEY=value lines
	@cat .tools/env

tools:
	@tests/tools/setup.sh

clean: ## remove what was built; the tools stay in .tools
	$(CARGO) clean
