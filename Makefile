# rustup puts cargo here, and not every shell has it in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

CRASH_SEEDS ?= 1000
LICENSES ?= THIRD_PARTY_LICENSES.md
SHELL_SCRIPTS = $(shell grep -lE '^\#!.*\<(ba)?sh$$' .ci/run scripts/*)

.DEFAULT_GOAL := help
.PHONY: help run cluster test conformance fmt lint deny licenses bench crash-seeds

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the server with the settings of .env
	@scripts/need cargo cc
	cargo run --release --locked -p messages

cluster: ## Run three nodes with Redis and Postgres behind one address; data in ./data/cluster
	@scripts/need cargo cc node
	@[ -n "$$REDIS_URL" ] || scripts/need redis
	@[ -n "$$DATABASE_URL" ] || scripts/need postgres
	cargo build --release --locked -p messages
	@MESSAGES_BIN=$${CARGO_TARGET_DIR:-target}/release/messages scripts/cluster

test: ## Run every test, with a throw-away Postgres and Redis
	@scripts/need cargo cc curl git openssl postgres psql redis sqlite3 node python chromium prometheus
	node --test scripts/proxy.test.mjs
	scripts/with-postgres scripts/with-redis sh -c 'cargo test --workspace --locked && \
		MESSAGES_BIN=$${CARGO_TARGET_DIR:-target}/debug/messages scripts/conformance'

conformance: ## Test the protocol with its own suite, its clients and a browser
	@scripts/need cargo cc curl openssl postgres psql redis sqlite3 node python chromium prometheus
	scripts/with-postgres scripts/with-redis scripts/conformance

fmt: ## Format the code
	cargo fmt --all

lint: ## Check format, scripts, clippy and documentation; warnings are errors
	@scripts/need cargo cc shellcheck
	shellcheck --external-sources --source-path=SCRIPTDIR $(SHELL_SCRIPTS)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

deny: ## Check the dependencies: bans, licenses, sources, advisories
	@scripts/need cargo cc
	@cargo deny --version || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources
	@mkdir -p target
	@$(MAKE) --no-print-directory licenses LICENSES=target/licenses.md
	@diff -q target/licenses.md THIRD_PARTY_LICENSES.md || \
		{ echo "THIRD_PARTY_LICENSES.md is not current: run make licenses and commit it" >&2; exit 1; }
	cargo deny --locked check advisories

licenses: ## Write THIRD_PARTY_LICENSES.md: what the program is built from
	@scripts/need cargo cc
	@cargo about --version || cargo install --locked --features cli cargo-about@0.9.3
	cargo fetch --locked
	cargo about generate --frozen --all-features --fail -m messages/Cargo.toml \
		-c packaging/licenses/about.toml -o $(LICENSES) packaging/licenses/report.hbs

bench: ## Build for release and verify a fresh server with the bench client
	@scripts/need cargo cc curl
	scripts/bench-smoke

crash-seeds: ## Run the crash test with CRASH_SEEDS (1000) seeds
	@scripts/need cargo cc
	CRASH_SEEDS=$(CRASH_SEEDS) cargo test --release --locked -p messages --test core crash:: -- --nocapture
