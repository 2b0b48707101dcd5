# flowlog. `make help` lists what there is.
#
# Nothing is installed outside of this clone but build output and cargo-deny, which go to ~/.cache so that a second clone
# finds them. Python tools live in .venv/, one environment per set of versions that agree.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

export CARGO_TARGET_DIR ?= $(HOME)/.cache/flowlog-target
export SAM_CLI_TELEMETRY := 0
# Property tests draw the same cases for everyone; another seed explores others.
export PROPTEST_RNG_SEED ?= 20261122

FLOWLOG := $(CARGO_TARGET_DIR)/debug/flowlog
ARCHITECTURE ?= x86_64
# Given or not: a stack's name that is not given is the one in samconfig.toml, where --guided saves it.
STACK_NAME = $(if $(STACK),--stack-name $(STACK))
PYTHON ?= python3
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2
CFN_GUARD := 3.2.1
TEMPLATES := template.yaml $(sort $(wildcard infra/*.yaml))
# Runs a command as a step: .ci/run prints a table of what the steps counted.
STEP := $(PYTHON) tests/dev/step.py
FUNCTIONS := flowlog-s3-parser flowlog-cwl-subscriber flowlog-anomaly-alerter

# The installations are marked by a file each, named for what was installed: a changed pin installs anew.
LAMBDA := .venv/lambda
SAM := .venv/sam
EMULATOR := .venv/emulator
MOTO := .venv/moto
SCAN := .venv/scan
OCSF := .venv/ocsf
PAGE := .venv/page
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flowlog-tools
DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY)/bin/cargo-deny
GUARD := $(TOOLS)/cfn-guard-$(CFN_GUARD)/bin/cfn-guard
FUZZ := $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ)/bin/cargo-fuzz
# sam refuses to start without a Region, even to read a file.
SAM_OFFLINE := AWS_DEFAULT_REGION=us-east-1 $(SAM)/bin/sam

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  \033[1m%-24s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- Using it ---------------------------------------------------------------------------------------------------------

.PHONY: run
run: ## A sample day of two peered VPCs through the whole pipeline (or DATA="path path": your own flow logs)
	# The whole workspace, so that this build and the tests' share their dependencies.
	cargo build --locked --workspace
ifdef DATA
	rm -rf .run/flowlog.db*
	mkdir -p .run
	$(FLOWLOG) local $(DATA) --store .run/flowlog.db
else
	rm -rf .run/sample .run/flowlog.db*
	mkdir -p .run
	$(FLOWLOG) generate --minutes 1440 --attack port-scan --attack reject-burst -o .run/sample
	$(FLOWLOG) local .run/sample --store .run/flowlog.db
endif

# ---- Developing -------------------------------------------------------------------------------------------------------

.PHONY: test
test: test-rust test-tools test-infra test-page e2e ## All tests

.PHONY: test-rust
test-rust: $(if $(shell command -v $(PYTHON)),$(OCSF)/.installed)
	$(STEP) "Rust tests" -- cargo test --workspace --locked

.PHONY: test-tools
test-tools:
	$(STEP) "tests of the scripts" -- $(PYTHON) tests/dev/step_tests.py

.PHONY: test-infra
test-infra: $(MOTO)/.installed ## What the templates make on a local AWS; alarms and the runbook; permissions; the doctor
	$(STEP) "what the templates make" -- $(MOTO)/bin/python tests/infra/network_tests.py
	$(STEP) "alarms and dashboard" -- $(MOTO)/bin/python tests/infra/observability_tests.py
	$(STEP) "wiring of the templates" -- $(MOTO)/bin/python tests/infra/wiring_tests.py
	$(STEP) "permissions" -- $(MOTO)/bin/python tests/infra/permission_tests.py
	$(STEP) "the doctor's canned answers" -- $(MOTO)/bin/python tests/infra/canned_tests.py
	cargo build --locked --workspace --bins --examples
	$(STEP) "doctor" --limit 900 -- $(MOTO)/bin/python tests/infra/doctor_tests.py $(FLOWLOG)
	$(STEP) "why, in an account" --limit 900 -- $(MOTO)/bin/python tests/infra/why_tests.py $(FLOWLOG)

# Chromium is whichever is there; `CHROMIUM=…` names another. Debian's package does (`apt-get install chromium`).
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome-stable google-chrome,$(shell command -v $(name))))

.PHONY: test-page
ifneq ($(CHROMIUM),)
test-page: $(PAGE)/.installed ## The page of `flowlog report` in headless Chromium (SHOTS=folder keeps screenshots; ARGS=--large: 1 M flows)
	cargo build --locked --workspace --bins --examples
	$(STEP) "the page, in a browser" --limit 600 -- $(PAGE)/bin/python tests/page/page_tests.py --flowlog $(FLOWLOG) \
		--chromium $(CHROMIUM) $(if $(SHOTS),--shots $(SHOTS)) $(ARGS)
else
# Only on CI's machines is anything installed; the second try finds it, or finds that it is not to be had.
test-page:
	@if [ "$(CI)" = true ] && [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; then \
		$(MAKE) --no-print-directory test-page CI=; exit; fi
	$(STEP) "the page, in a browser" --skip "no Chromium here: apt-get install chromium, or CHROMIUM=path"
endif

.PHONY: pictures
pictures: $(PAGE)/.installed ## The README's pictures, made anew (needs Chromium)
	cargo build --locked --workspace --bins --examples
	$(PAGE)/bin/python tests/page/pictures.py --flowlog $(FLOWLOG) --chromium $(CHROMIUM)

# The functions for tests: what `cargo test` builds anyway, laid out as cargo-lambda does. RELEASE=yes takes those that are
# deployed, which cost a second build of every dependency and link-time optimisation.
.PHONY: functions
functions:
	cargo build --locked --workspace --bins --examples
	for name in $(FUNCTIONS); do \
		mkdir -p .run/functions/$$name; cp $(CARGO_TARGET_DIR)/debug/$$name .run/functions/$$name/bootstrap; done

E2E_FUNCTIONS := $(if $(RELEASE),target/lambda,.run/functions)
DATABASE := $(CARGO_TARGET_DIR)/debug/examples/database

.PHONY: e2e
e2e: functions $(if $(RELEASE),build) $(SAM)/.installed $(EMULATOR)/.installed ## From a put object to the message in an inbox, on a local AWS; then what that AWS cannot do (RELEASE=yes: the release build)
	$(STEP) "end to end, deployed" --limit 600 -- $(EMULATOR)/bin/python tests/e2e/run.py \
		--sam $(CURDIR)/$(SAM)/bin/sam --flowlog $(FLOWLOG) --functions $(E2E_FUNCTIONS)
	$(STEP) "functions under faults" --limit 600 -- $(EMULATOR)/bin/python tests/e2e/runtime.py \
		--flowlog $(FLOWLOG) --database $(DATABASE) --functions $(E2E_FUNCTIONS)

.PHONY: latency
latency: functions $(SAM)/.installed $(EMULATOR)/.installed ## Seconds from a put object, or log event, to the message in an inbox, on a local AWS (SAMPLES=20)
	$(EMULATOR)/bin/python tests/e2e/latency.py --sam $(CURDIR)/$(SAM)/bin/sam --functions $(E2E_FUNCTIONS) \
		--samples $(or $(SAMPLES),20)

# The last commit that knew mapping version 1 only. Built once, where clones share it; most of what it depends on is there.
EARLIER := 0f7ef530d2c484c6d0825bb66f26c719ab89d602
EARLIER_FUNCTIONS := $(TOOLS)/functions-$(EARLIER)

$(EARLIER_FUNCTIONS)/.built:
	rm -rf .run/earlier && mkdir -p .run/earlier $(@D)
	git archive $(EARLIER) | tar -x -C .run/earlier
	cd .run/earlier && cargo build --locked --workspace --bins
	for name in $(FUNCTIONS); do mkdir -p $(@D)/$$name; cp $(CARGO_TARGET_DIR)/debug/$$name $(@D)/$$name/bootstrap; done
	rm -rf .run/earlier
	touch $@

.PHONY: upgrade
upgrade: ## Functions of an earlier commit and these on the same tables in turn (builds the earlier ones; not part of test)
ifeq ($(shell git cat-file -t $(EARLIER) 2>/dev/null),commit)
	$(MAKE) --no-print-directory $(EARLIER_FUNCTIONS)/.built functions $(EMULATOR)/.installed
	$(STEP) "rolling upgrade" --limit 600 -- $(EMULATOR)/bin/python tests/e2e/upgrade.py --flowlog $(FLOWLOG) \
		--database $(DATABASE) --functions $(E2E_FUNCTIONS) --earlier $(EARLIER_FUNCTIONS)
else
	$(STEP) "rolling upgrade" --skip "this clone does not have the earlier commit $(EARLIER)"
endif

.PHONY: load
load: functions build $(EMULATOR)/.installed ## Thousands of objects through the parser at several concurrencies, and with kills (SOAK=30: for so many minutes; ARGS=…)
	$(EMULATOR)/bin/python tests/dev/load.py --flowlog $(FLOWLOG) --database $(DATABASE) \
		--parser target/lambda/flowlog-s3-parser/bootstrap $(if $(SOAK),--soak $(SOAK)) $(ARGS)

.PHONY: sizing
sizing: functions build $(EMULATOR)/.installed ## Seconds of the parser by its memory in MB, as Lambda shares processors (needs root)
	$(EMULATOR)/bin/python tests/dev/sizing.py --flowlog $(FLOWLOG) --database $(DATABASE) \
		--parser target/lambda/flowlog-s3-parser/bootstrap $(ARGS)

.PHONY: simulate
simulate: ## The handlers under every fault, on a model of AWS (SEEDS=0..10000; SEED=42 runs one and says what happened)
	cargo build --locked --workspace --bins
	$(CARGO_TARGET_DIR)/debug/simulate $(if $(SEED),"$(SEED)",$(or $(SEEDS),0..10000))

.PHONY: simulate-long
simulate-long: ## The same for a million seeds: about an hour of one processor
	$(MAKE) --no-print-directory simulate SEEDS=0..1000000

.PHONY: chaos
chaos: ## Kill -9: workers and the database, on a network that breaks (RUNS=0..20 KILLS=8)
	cargo build --locked --workspace --bins
	$(CARGO_TARGET_DIR)/debug/chaos run $(or $(RUNS),0..20) $(or $(KILLS),8)

.PHONY: write-units
write-units: ## What DynamoDB would bill for writing, 10 million invented sources included
	cargo test --workspace --locked --test it write_units -- --nocapture --include-ignored --test-threads 1

.PHONY: evaluate
evaluate: ## The rules on captured and generated traffic, beside four baselines (EVAL_DATA=folder; SEEDS=100 FIRST=3000)
	cargo build --locked --workspace
	$(PYTHON) tests/dev/evaluate.py $(FLOWLOG) --seeds $(or $(SEEDS),100) --first $(or $(FIRST),3000)

# Objects of a million rows that a stranger invented; tests/dev/forged.py says what they are like.
FORGED := interfaces times windows hosts pairs pairs6 evidence large talkers scans lists

.PHONY: memory
memory: ## Peak memory of analyze: 5 M rows as text and as Parquet, 10 M invented sources, and what else strangers invent
	cargo build --locked --workspace
	rm -rf .run/memory && mkdir -p .run/memory
	$(FLOWLOG) generate --format v2 --minutes 5 --rate 1000000 -o .run/memory/rows
	$(FLOWLOG) generate --minutes 5 --rate 1000000 --file-format parquet -o .run/memory/columns
	$(FLOWLOG) generate --format v2 --minutes 20 --rate 1000 --attack source-flood=10000000 -o .run/memory/sources
	for kind in $(FORGED); do $(PYTHON) tests/dev/forged.py $$kind .run/memory/$$kind/$$kind.log.gz; done
	cp .run/memory/talkers/talkers.log.gz .run/memory/talkers/again.log.gz
	for kind in rows columns sources $(FORGED); do \
		$(PYTHON) tests/dev/peak_memory.py 60 $(FLOWLOG) analyze --format json .run/memory/$$kind; done
	rm -rf .run/memory

.PHONY: parser-memory
parser-memory: functions build ## Peak memory of the parser with all its writes in flight, over the worst objects (ARGS="--objects hosts")
	$(PYTHON) tests/dev/parser_memory.py --flowlog $(FLOWLOG) --parser target/lambda/flowlog-s3-parser/bootstrap $(ARGS)

# Fuzzing wants the nightly toolchain. The code is safe Rust, so it goes without AddressSanitizer.
FUZZ_TARGET := $(CARGO_TARGET_DIR)/fuzz
FUZZ_BINARIES := $(FUZZ_TARGET)/x86_64-unknown-linux-gnu/release

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ)
	PATH="$(dir $(FUZZ)):$$PATH" cargo +nightly fuzz build --fuzz-dir fuzz --sanitizer none --target-dir $(FUZZ_TARGET)

.PHONY: fuzz-smoke
fuzz-smoke: fuzz-targets ## A million inputs for each fuzz target (RUNS=1000000; not part of test; see docs/fuzzing.md)
	$(PYTHON) tests/dev/fuzz.py run $(FUZZ_BINARIES) --runs $(or $(RUNS),1000000)

.PHONY: fuzz
fuzz: fuzz-targets ## Each fuzz target for a time, on what it found before (SECONDS=3600)
	$(PYTHON) tests/dev/fuzz.py run $(FUZZ_BINARIES) --seconds $(or $(SECONDS),3600) --runs 1000000000000

# A workspace of its own: nobody else builds what is there. The command is built as users get it.
BENCH_TARGET := $(CARGO_TARGET_DIR)/bench
RELEASED := $(CARGO_TARGET_DIR)/release
BENCH_ROWS := .run/bench/rows.log.gz

.PHONY: bench-programs
bench-programs:
	cd tests/bench && CARGO_TARGET_DIR=$(BENCH_TARGET) cargo build --release --locked --bins
	CARGO_INCREMENTAL=0 cargo build --release --locked --bin flowlog
	mkdir -p $(dir $(BENCH_ROWS))
	[ -s $(BENCH_ROWS) ] || { $(BENCH_TARGET)/release/rows 5000000 > $(BENCH_ROWS).part && mv $(BENCH_ROWS).part $(BENCH_ROWS); }

compare = $(1) tests/bench/compare.py --programs $(BENCH_TARGET)/release --flowlog $(RELEASED)/flowlog --data $(BENCH_ROWS)

# As the function of `make startup`: three hundred crates of Vector's language.
VRL := $(BENCH_TARGET)/vrl/release/vrl-peer

.PHONY: bench
bench: bench-programs .venv/bench/.installed ## CPU time of whole processes over 5 M rows: inflating, flowlog, and others (RUNS=5)
	cd tests/bench/vrl && CARGO_TARGET_DIR=$(BENCH_TARGET)/vrl cargo build --release --locked
	$(call compare,.venv/bench/bin/python) --runs $(or $(RUNS),5) --vrl $(VRL)

.PHONY: bench-columns
bench-columns: bench-programs ## Rows a second of analyze: Parquet beside text of the same 29 fields and the default format (RUNS=5)
	$(PYTHON) tests/bench/columns.py --flowlog $(RELEASED)/flowlog --folder .run/columns --runs $(or $(RUNS),5) $(ARGS)

.PHONY: bench-gate
bench-gate: bench-programs ## Fails if analyze takes more CPU beside inflating, or more memory, than it did (with slack; not in test)
	$(call compare,$(PYTHON)) --runs $(or $(RUNS),5) --quick --at-most $(or $(AT_MOST),3.0) --peak $(or $(PEAK),52)

.PHONY: bench-core
bench-core: ## The steps of the core, each alone: decoding, rolling up, blobs, folding, rules (FILTER=…)
	cd tests/bench && CARGO_TARGET_DIR=$(BENCH_TARGET) cargo bench --locked --bench core -- $(FILTER)

.PHONY: size
size: build check-size ## Builds the functions for AWS and holds their size against its bounds

# What is built in this clone is measured; building for AWS takes longer than all other checks together.
.PHONY: check-size
check-size:
ifneq ($(wildcard target/lambda/flowlog-s3-parser/bootstrap)$(filter size,$(MAKECMDGOALS)),)
	$(STEP) "size of the functions" -- $(PYTHON) tests/dev/size.py $(FUNCTIONS:%=target/lambda/%/bootstrap)
else
	$(STEP) "size of the functions" --skip "not built for AWS in this clone: make size"
endif

# What the stock function is built from is nobody else's: some three hundred crates, with C.
STOCK := $(BENCH_TARGET)/stock/release/stock

.PHONY: startup
startup: build ## Exec to the first request for an event, of the parser and of a function with every default (ARGS="--pairs 40")
	cd tests/bench/stock && CARGO_TARGET_DIR=$(BENCH_TARGET)/stock cargo build --release --locked
	mkdir -p .run
	$(PYTHON) tests/dev/startup.py --ours target/lambda/flowlog-s3-parser/bootstrap --stock $(STOCK) $(ARGS)

.PHONY: check
check: check-rust check-dependencies check-events check-size validate ## Formatting, lints, documentation, licences, sizes, templates

# What they depend on is no part of flowlog.
OTHER_WORKSPACES := tests/bench tests/bench/stock tests/bench/vrl fuzz

.PHONY: check-rust
check-rust:
	$(STEP) formatting -- cargo fmt --all --check
	$(STEP) "formatting of other workspaces" -- sh -ec \
		'for one in $(OTHER_WORKSPACES); do cargo fmt --manifest-path $$one/Cargo.toml --check; done'
	$(STEP) lints -- cargo clippy --workspace --all-targets --locked -- -D warnings
	$(STEP) "lints of the benchmarks" -- env CARGO_TARGET_DIR=$(BENCH_TARGET) \
		cargo clippy --manifest-path tests/bench/Cargo.toml --all-targets --locked -- -D warnings
	$(STEP) documentation -- env RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

.PHONY: check-dependencies
check-dependencies: $(DENY)
	$(STEP) dependencies -- $(DENY) --locked check -A license-exception-not-encountered bans licenses sources
	$(STEP) "dependencies of the benchmarks" -- $(DENY) --locked --manifest-path tests/bench/Cargo.toml \
		--config deny.toml --log-level error check bans licenses sources
	$(STEP) "dependencies of the fuzz targets" -- $(DENY) --locked --manifest-path fuzz/Cargo.toml \
		--config deny.toml --log-level error check bans licenses sources
	$(STEP) "lock file of VRL's parser" -- cargo update --quiet --manifest-path tests/bench/vrl/Cargo.toml --workspace --locked

.PHONY: check-events
check-events:
	$(STEP) "sample events" -- $(PYTHON) tests/dev/make_events.py --check

.PHONY: validate
validate: $(SAM)/.installed $(MOTO)/.installed $(SCAN)/.installed $(GUARD) ## Lint and scan the templates
	$(STEP) "templates by cfn-lint" -- $(MOTO)/bin/cfn-lint --append-rules cfn_lint_serverless.rules -- $(TEMPLATES)
	# The nested templates have nothing of SAM's; its linter is the one above.
	$(STEP) "template.yaml by sam" -- env $(SAM_OFFLINE) validate --lint --template template.yaml
	$(STEP) "templates by checkov" -- $(MOTO)/bin/python tests/infra/scan.py $(SCAN)/bin/checkov
	$(STEP) "templates by our own rules" -- $(MOTO)/bin/python tests/infra/rule_tests.py $(GUARD)
	$(STEP) "templates, every option" -- $(MOTO)/bin/python tests/infra/combination_tests.py

.PHONY: reference
reference: ## Write docs/reference anew: the command, settings, metrics, items, shapes of answers
	UPDATE_REFERENCE=yes cargo test --workspace --locked --bin flowlog --test it --test questions -- current
	cargo test --workspace --locked --bin flowlog --test it --test questions -- current

.PHONY: events
events: ## Write the sample payloads anew
	$(PYTHON) tests/dev/make_events.py

# ---- Running the functions here ---------------------------------------------------------------------------------------

.PHONY: watch
watch: $(LAMBDA)/.installed $(EMULATOR)/.installed ## The functions on this machine, with a local AWS on loopback (PORT=…)
	@PATH="$(CURDIR)/$(LAMBDA)/bin:$$PATH" exec $(EMULATOR)/bin/python tests/dev/watch.py $(if $(PORT),--port $(PORT))

# In a second terminal. EVENT=… sends another file.
invoke = PATH="$(CURDIR)/$(LAMBDA)/bin:$$PATH" cargo-lambda lambda invoke --invoke-address 127.0.0.1 \
	--invoke-port "$(or $(PORT),$$(cat .run/watch.port 2>/dev/null || echo 9000))" $(1) --data-file $(or $(EVENT),$(2))

.PHONY: invoke-s3-parser
invoke-s3-parser: $(LAMBDA)/.installed ## Send a queued S3 notification to the parser that `make watch` runs (EVENT=…)
	@$(call invoke,flowlog-s3-parser,events/s3-parser/sqs-s3-notification.json)

.PHONY: invoke-cwl-subscriber
invoke-cwl-subscriber: $(LAMBDA)/.installed ## Send a CloudWatch Logs delivery to the subscriber (EVENT=…)
	@$(call invoke,flowlog-cwl-subscriber,events/cwl-subscriber/data-message.json)

.PHONY: invoke-anomaly-alerter
invoke-anomaly-alerter: $(LAMBDA)/.installed ## Ring the alerter: a partial was written (EVENT=…)
	@$(call invoke,flowlog-anomaly-alerter,events/anomaly-alerter/dynamodb-stream-insert.json)

.PHONY: test-watch
test-watch: functions $(LAMBDA)/.installed $(EMULATOR)/.installed
	$(STEP) "watch and invoke" --limit 900 -- $(PYTHON) tests/dev/watch_tests.py

# ---- Deploying --------------------------------------------------------------------------------------------------------

# provided.al2023 has this version of the C library. For an older one, which cargo-lambda takes unless told, the functions would load
# two libraries more at each start.
GLIBC := 2.34

.PHONY: build
build: $(LAMBDA)/.installed ## The functions for AWS, in target/lambda (ARCHITECTURE=arm64 for Graviton)
	PATH="$(CURDIR)/$(LAMBDA)/bin:$$PATH" cargo-lambda lambda build --release --locked \
		--target $(ARCHITECTURE:arm64=aarch64)-unknown-linux-gnu.$(GLIBC) --lambda-dir target/lambda $(addprefix --package ,$(FUNCTIONS))

# What was built is what may be deployed: the parameter is always given, since a stack keeps its earlier value otherwise, and the
# template that is deployed knows no other value, so that CloudFormation refuses whatever else ARGS, a file or an answer to
# --guided says. It lies here because the nested templates are found from where it is.
DEPLOYED := .template-$(ARCHITECTURE).yaml

.PHONY: deploy
deploy: build $(SAM)/.installed ## Build and deploy (STACK=name; ARCHITECTURE=arm64; ARGS="--guided", ARGS="--parameter-overrides AlertEmail=…")
	sed 's/^    Default: x86_64$$/    Default: $(ARCHITECTURE)/; s/^    AllowedValues: \[x86_64, arm64\]$$/    AllowedValues: [$(ARCHITECTURE)]/' template.yaml > $(DEPLOYED)
	$(PYTHON) tests/dev/deploy_words.py $(ARCHITECTURE) $(SAM)/bin/sam deploy --template-file $(DEPLOYED) $(STACK_NAME) $(ARGS)

.PHONY: deploy-local
deploy-local: build $(SAM)/.installed $(EMULATOR)/.installed ## Deploy to a local AWS on loopback, see what came to be, and throw it away
	$(EMULATOR)/bin/python tests/dev/deploy.py $(CURDIR)/$(SAM)/bin/sam

.PHONY: destroy
destroy: $(SAM)/.installed ## Delete the stack; says what is kept
	@echo "Kept, because they hold your data: the log bucket with its policy, both tables, a customer key, and Athena's results (a week)."
	@echo 'Delete them yourself when you are sure. The bucket keeps its name: to deploy again beside it, set LogBucketName.'
	$(SAM)/bin/sam delete $(STACK_NAME) $(ARGS)

.PHONY: clean
clean: ## Remove what was built or installed in this clone
	rm -rf target .run .aws-sam .venv .template-*.yaml

# ---- Tools ------------------------------------------------------------------------------------------------------------

.venv/%/.installed: tests/dev/requirements-%.txt
	$(PYTHON) -m venv --clear .venv/$*
	.venv/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement $<
	touch $@

# Some three minutes on two cores, once per machine and version.
$(GUARD):
	mkdir -p $(TOOLS)
	CARGO_TARGET_DIR=$(TOOLS)/build-cfn-guard cargo install --locked cfn-guard@$(CFN_GUARD) --root $(TOOLS)/cfn-guard-$(CFN_GUARD)
	rm -rf $(TOOLS)/build-cfn-guard

# A directory per version, written by one at a time: clones share it.
$(DENY):
	mkdir -p $(TOOLS)
	CARGO_TARGET_DIR=$(TOOLS)/build-cargo-deny cargo install --locked cargo-deny@$(CARGO_DENY) --root $(TOOLS)/cargo-deny-$(CARGO_DENY)
	rm -rf $(TOOLS)/build-cargo-deny

$(FUZZ):
	mkdir -p $(TOOLS)
	CARGO_TARGET_DIR=$(TOOLS)/build-cargo-fuzz cargo install --locked cargo-fuzz@$(CARGO_FUZZ) --root $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ)
	rm -rf $(TOOLS)/build-cargo-fuzz
