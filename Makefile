# Build, test and try the operator. `make` alone lists what there is.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

TOOL := go tool -modfile=hack/tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
VERSIONS := github.com/mcp-sampling/mcp-sampling-operator/internal/version
FUZZTIME ?= 30s
SOAK ?= 10m
# Which cluster to use: own (a node in namespaces of its own, root on Linux),
# kind (docker and kind on the PATH) or current (your kubeconfig).
export CLUSTER ?= own
export CLUSTER_NAME ?= dev

##@ Try it

.PHONY: demo
demo: ## Cluster, operator, two MCP servers and a real small model; calls their tools
	CLUSTER_NAME=demo hack/demo.sh up

.PHONY: demo-down
demo-down: ## Take the demo down again, cluster and all
	CLUSTER_NAME=demo hack/demo.sh down

##@ Develop

.PHONY: generate
generate: ## Generate deep copies, CRDs, roles, their parts of the chart with its README, and docs/api.md
	hack/generate.sh

.PHONY: fmt
fmt: ## Format the Go code
	$(TOOL) golangci-lint fmt ./...

.PHONY: lint
lint: ## Lint the Go code, with the table of allowed imports
	$(TOOL) golangci-lint run ./...

.PHONY: check
check: ## generate + fmt + lint, and fail if that changed a file
	hack/check.sh

.PHONY: build
build: ## Build bin/manager, bin/sampler and bin/kubectl-mcp
	CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags='-s -w -X $(VERSIONS).version=$(VERSION) -X $(VERSIONS).commit=$(COMMIT)' -o bin/ ./cmd/...

.PHONY: images
images: ## Build the container images with docker, or with buildah where no docker daemon answers
	@hack/images.sh --refs

.PHONY: sizes
sizes: ## Print sizes of images and CRDs, and the memory of an idle sampler, beside their limits
	@hack/sizes.sh

##@ Documentation

.PHONY: docs
docs: ## Build the site from docs/ into dist/site; a link that leads nowhere fails
	@hack/docs.sh

.PHONY: docs-serve
docs-serve: ## Build it and serve it at http://127.0.0.1:8099 (PORT)
	@hack/docs.sh --serve

##@ Test

.PHONY: test
test: ## Everything: unit, API server, chart, docs, data plane, peers, end to end (installs what it needs)
	@hack/test.sh all

.PHONY: test-unit
test-unit: ## Only what needs nothing but Go, with the race detector
	@hack/test.sh unit

.PHONY: test-api
test-api: ## Only what needs a real API server and etcd
	@hack/test.sh api

.PHONY: test-oldest
test-oldest: ## The same with the oldest Kubernetes that is supported
	@hack/test.sh oldest

.PHONY: test-release
test-release: ## Only what a release consists of, made twice
	@hack/test.sh release

.PHONY: test-chart
test-chart: ## Only the Helm chart (go test ./test/chart -update rewrites the golden files)
	@hack/test.sh chart

.PHONY: test-docs
test-docs: ## Only the documentation: the site builds, and loads nothing from elsewhere
	@hack/test.sh docs

.PHONY: test-dataplane
test-dataplane: ## Only the sampler against MCP servers and callers of other makers
	@hack/test.sh dataplane

.PHONY: test-peers
test-peers: ## Only the sampler against pinned servers, callers and conformance suites of other makers
	@hack/test.sh peers

.PHONY: test-e2e
test-e2e: ## Only end to end on a real cluster
	@hack/test.sh e2e

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (30s)
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Compare the sampler with a bare reverse proxy and FastMCP's own, 10 min (BENCH=-quick: 2 min)
	@hack/bench.sh $(BENCH)

.PHONY: bench-go
bench-go: ## Run the Go benchmarks, with allocations
	go test -run='^$$' -bench=. -benchmem $$(go list ./... | grep -v /test/e2e)

.PHONY: bench-scale
bench-scale: ## Measure the operator with 100, 300 and 1,000 servers on a simulated cluster, 20 min
	@hack/bench-scale.sh $(SCALE)

.PHONY: soak
soak: ## Keep 1,000 sessions busy for SOAK (10m); memory and goroutines must not grow
	@hack/bench.sh -for $(SOAK) $(BENCH) soak

##@ Release

.PHONY: release
release: ## Make a release in dist/release (VERSION=v1.2.3): programs, images, chart, manifest, SBOMs, checksums
	go run -C hack/release . -root $(CURDIR) $(if $(filter-out file,$(origin VERSION)),-version $(VERSION)) $(RELEASE)

##@ Cluster

.PHONY: cluster-up
cluster-up: ## Start a real Kubernetes (CLUSTER=own|kind|current, CLUSTER_NAME=dev)
	@hack/cluster/cluster.sh up

.PHONY: cluster-down
cluster-down: ## Stop it and leave nothing behind
	@hack/cluster/cluster.sh down

.PHONY: install
install: ## Install the operator into the cluster by Helm, from this checkout
	@hack/install.sh

.PHONY: uninstall
uninstall: ## Uninstall it; the CRDs stay
	@hack/cluster/cluster.sh helm uninstall mcp-sampling-operator --namespace mcp-sampling-system

##@ Help

.PHONY: help
help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
