# Few verbs; `make help` lists them. What each does is in scripts/, so that it
# can be read, and run without make.
SHELL := /usr/bin/env bash

# What the distribution is made of; builder-config-full.yaml is the larger list.
MANIFEST ?= builder-config.yaml
# What `make run` runs.
CONFIG ?= examples/standalone/config.yaml
# More for `make bench`, as "-rounds 3 -time 5s -only nginx".
BENCH ?=
# How long each fuzz target runs, and which (all; l7/kafka: that parser's).
FUZZTIME ?= 60s
FUZZ ?= .

.DEFAULT_GOAL := help
.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build, then show this host's traffic as spans (CONFIG=...)
	@scripts/run.sh $(CONFIG)

.PHONY: build
build: ## build bin/hopscope and bin/hopscope-replay (MANIFEST=...)
	@scripts/build.sh $(MANIFEST)

.PHONY: test
test: ## vet, unit tests (race detector), BPF, integration and end-to-end tests
	@scripts/test.sh

.PHONY: test-e2e
test-e2e: build ## spans through a real Jaeger and back (builds Jaeger once: 5 minutes)
	@scripts/test-e2e.sh

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s); FUZZ=l7/kafka: those that match
	@scripts/fuzz.sh $(FUZZTIME) '$(FUZZ)'

.PHONY: soak
soak: ## ten minutes of packets of connections that come and go: memory stays (root)
	@HOPSCOPE_SOAK=10m go test ./test/soak -count=1 -v -timeout 20m

.PHONY: causality
causality: build ## which links are right: measures them against real servers, and writes the table of docs/causality.md (root)
	@scripts/deps.sh test
	@HOPSCOPE_BIN=$(CURDIR)/bin/hopscope HOPSCOPE_CAUSALITY_PAGE=$(CURDIR)/docs/causality.md go test ./test/causality -run TestCausality -count=1 -v -timeout 15m

.PHONY: bench
bench: build ## cost per stage, and as root: what tracing costs nginx and Redis
	@scripts/bench.sh $(BENCH)

.PHONY: profile
profile: build ## as root: scripts/hopscope.pgo, what `make build` optimizes for; commit it
	@scripts/deps.sh bench
	@HOPSCOPE_BIN=$(CURDIR)/bin/hopscope go run ./test/bench -stages=false -rounds 1 -profile scripts/hopscope.pgo

.PHONY: demo
demo: build ## a system without tracing code, and its traces (root)
	@scripts/deps.sh test
	@HOPSCOPE_BIN=$(CURDIR)/bin/hopscope PATH=$$PATH:/usr/sbin go run ./test/demo/cmd

.PHONY: generate
generate: ## regenerate what is committed: BPF objects, metadata, golden files
	@scripts/generate.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@scripts/lint.sh

.PHONY: clean
clean: ## remove what the build made (module and build caches stay)
	rm -rf bin _build
