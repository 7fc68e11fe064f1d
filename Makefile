# The only door: every command that a person or CI runs is a target here. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# One shell for each recipe, not for each line.
.ONESHELL:

PYTHON ?= python3
CLIP ?= .assets/clips/carphone_pristine.mp4
OUT ?= out
UV_COMPILE_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
SETUP := .setup/environment.py
ENVIRONMENT := $(STAMPS)/distributions
ASSETS := .assets/.complete
PACKAGES := protocol/src server/src client/src operator_scripts/src
CHECKED := $(wildcard protocol server client operator_scripts triton_models tests charts docs .setup)

export SEGTRITON_NETWORKS ?= $(CURDIR)/.assets/networks
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONNOUSERSITE := 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use it
.PHONY: setup run serve
setup: $(ENVIRONMENT) $(ASSETS) ## make the environment in .venv, fetch networks and sample clips into .assets
	@:

run: setup ## stream CLIP through a real Triton and show the result in out/ (CLIP=my.mp4 for your own)
	@mkdir -p $(OUT)
	@segtriton-serve --grpc-port 0 --http-port 0 --metrics-port 0 --log-file $(OUT)/triton.log -- \
	    $(MAKE) --no-print-directory segment-clip

serve: setup ## keep the server up on ports 8000 to 8002 until Ctrl-C (SERVE_ARGS=... for options)
	@exec segtriton-serve $(SERVE_ARGS)

# Runs under a server that `run` has started and named in SEGCLIENT_ENDPOINT.
.PHONY: segment-clip
segment-clip:
	@clip="$(CLIP)"; name=$$(basename "$${clip%.*}"); result="$(OUT)/$${name%_pristine}"
	segclient --endpoint "$$SEGCLIENT_ENDPOINT" -sv "$$clip" --effect blur -o "$${result}_blur.mp4" --report $(OUT)/report.json
	segclient --endpoint "$$SEGCLIENT_ENDPOINT" -sv "$$clip" --effect mask -o "$${result}_mask.mp4"
	segclient sheet "$$clip" "$${result}_mask.mp4" "$${result}_blur.mp4" -o $(OUT)/contact_sheet.png
	printf '  %-14s %s\n' video "$${result}_blur.mp4" mask "$${result}_mask.mp4" \
	    'contact sheet' $(OUT)/contact_sheet.png report $(OUT)/report.json 'server log' $(OUT)/triton.log

##@ Check it
.PHONY: test test-unit test-integration test-media test-players test-examples test-chart test-chaos test-fuzz test-cluster bench audit lint type bench-raw bench-matte bench-neighbours
test: test-unit test-integration ## all tests that need no GPU and no cluster

test-unit: setup ## tests without a server
	@pytest -q -m "not whole" tests/unit

test-integration: setup ## tests against a real Triton
	@pytest -q -m "not whole" tests/integration

test-media: setup ## every container, codec and feature, the field's files and names, most of it against a real Triton
	@pytest -q tests/integration/media
	pytest -q -m whole tests/unit

# Fixtures that install packages take as long as the network does, so they have no time limit.
test-players: setup ## results played by ffmpeg and Chromium, sources from a real RTSP server (Debian's; installs them as root)
	@pytest -q -o timeout_func_only=true tests/players

test-examples: setup ## clients in other languages against a real Triton and the Python client (node; installs it as root)
	@pytest -q -o timeout_func_only=true tests/examples

test-chart: setup ## the chart: lint, unit tests, schemas of Kubernetes, alerts, README
	@pytest -q --timeout 900 tests/chart

# CI's is short. The long one: CHAOS_RUNS=500 RESUME_RUNS=50 RESUME_KILLS=20 (about an hour); CHAOS_SEED= has one again.
test-chaos: setup ## everything goes wrong, by seeds (CHAOS_RUNS=, RESUME_RUNS=, RESUME_KILLS=, CHAOS_SEED=...); installs iptables as root
	@pytest -q -o timeout_func_only=true tests/chaos

# The long form of hostile media is FUZZ_INPUTS=20000 (ten minutes), that of messages FUZZ_RUNS=1200 FUZZ_STEPS=40 (twenty).
test-fuzz: setup ## hostile media, by numbers (FUZZ_INPUTS= inputs from FUZZ_SEED= on), and messages at random (FUZZ_RUNS=, FUZZ_STEPS=)
	@pytest -q tests/fuzz

LAB := PYTHONPATH=$(CURDIR)/tests/cluster python -m lab
# Fixtures have no time limit: the first use of the lab builds its tools and images.
test-cluster: setup ## tests on a real Kubernetes: the one that KUBECONFIG names, else one made for them (root)
	@$(LAB) run -- env PYTHONPATH=$(CURDIR)/tests/cluster \
	    pytest -q --timeout 420 -o timeout_func_only=true --durations 10 tests/cluster

# On a machine with a GPU; GPU_PYTHON names another Python that has the GPU's packages and ours already.
GPU_PYTHON ?=
GPU_ENVIRONMENT := $(if $(GPU_PYTHON),,$(STAMPS)/gpu)
GPU_RUN := $(if $(GPU_PYTHON),$(GPU_PYTHON),$(BIN)/python)

.PHONY: setup-gpu test-gpu bench-gpu
setup-gpu: $(GPU_ENVIRONMENT) ## what `setup` does, and the packages for an NVIDIA GPU (3 GB)
	@:

test-gpu: $(GPU_ENVIRONMENT) ## tests that need an NVIDIA GPU; they fail where there is none
	@$(GPU_RUN) -m pytest -q tests/gpu

bench-gpu: $(GPU_ENVIRONMENT) ## speed on a GPU against its limits, one table (BENCH_ARGS=... for options)
	@$(GPU_RUN) tests/bench/gpu/run.py $(BENCH_ARGS)

bench: setup ## speed against a plain script and against the limits, one table (BENCH_ARGS=... for options); and the four below
	@python tests/bench/run.py $(BENCH_ARGS)
	@python tests/bench/router.py
	@python tests/bench/raw_frames.py
	@python tests/bench/matte.py
	@python tests/bench/onnx_network.py

audit: $(ENVIRONMENT) ## known weaknesses of what is locked (asks PyPI's database, which a mirror may lack)
	@for lock in requirements.lock server/gpu.lock images/*/requirements.lock; do
	    uv tool run --from 'pip-audit>=2.7,<3' pip-audit --disable-pip --require-hashes --requirement "$$lock"
	done

bench-raw: setup ## raw frames over gRPC and in shared memory, against a model that gives them back (BENCH_ARGS=... for options)
	@python tests/bench/raw_frames.py $(BENCH_ARGS)

bench-matte: setup ## what each treatment of masks is worth, and what it costs (CLIP=my.mp4 for your own)
	@python tests/bench/matte.py "$(CLIP)"
	@python tests/bench/edge_colors.py

bench-neighbours: setup ## what a live client notices of others who stall, flood, hang up or send garbage
	@python tests/bench/neighbours.py $(BENCH_ARGS)

lint: $(ENVIRONMENT) ## style, formatting, the borders between the layers, and the images' Dockerfiles
	@ruff check $(CHECKED)
	@ruff format --check $(CHECKED)
	@lint-imports
	@hadolint images/*/Dockerfile

type: $(ENVIRONMENT) ## static types: the packages together, then each model by itself
	@mypy $(PACKAGES)
	@for model in triton_models/*/1/model.py; do \
	    echo "$$model"; mypy "$$model"; \
	done
	@MYPYPATH=tests/cluster mypy tests/cluster/lab
	@MYPYPATH=charts mypy charts/dashboards

##@ Put it on Kubernetes
.PHONY: images cluster-up cluster-down
images: ## build the container images (IMAGES=, REGISTRY=, TAG=, ENGINE=, BASE_IMAGE=...; see images/README.md)
	@images/build

cluster-up: setup ## start a one-node Kubernetes (root), or check the one that KUBECONFIG names
	@$(LAB) up

cluster-down: setup ## end that Kubernetes; only caches stay
	@$(LAB) down

##@ Work on it
.PHONY: format docs doc-pictures error-docs chart-docs dashboards lock clean
format: $(ENVIRONMENT) ## rewrite the code in the project's format
	@ruff check --fix $(CHECKED)
	@ruff format $(CHECKED)

docs: $(ENVIRONMENT) ## build the documents' site into out/docs; a warning or a link that leads nowhere fails
	@sphinx-build -q --fail-on-warning --keep-going --fresh-env -c docs -d $(OUT)/docs/.doctrees . $(OUT)/docs
	@echo "$(OUT)/docs/docs/index.html"

doc-pictures: setup ## make the pictures of the documents anew, by a real Triton from the sample clip
	@segtriton-serve --grpc-port 0 --http-port 0 --metrics-port 0 -- python docs/pictures.py

error-docs: $(ENVIRONMENT) ## write docs/errors.md from the error codes
	@python .setup/error_page.py

chart-docs: ## write the tables of the chart's README from values.yaml
	@$(PYTHON) charts/readme.py

dashboards: ## write the Grafana dashboards from charts/dashboards
	@PYTHONPATH=charts $(PYTHON) -m dashboards

OWN := --no-emit-package segtriton-protocol --no-emit-package segtriton-client
IMAGE_LOCK := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
    --no-emit-index-url --no-emit-find-links $(OWN) --constraint requirements.lock
lock: $(STAMPS)/packages ## compile requirements.lock and server/triton.lock (UV_COMPILE_FLAGS=--upgrade for new versions)
	@uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
	    --no-emit-index-url --no-emit-find-links $(OWN) $(UV_COMPILE_FLAGS) \
	    --group pyproject.toml:dev protocol/pyproject.toml server/pyproject.toml client/pyproject.toml \
	    operator_scripts/pyproject.toml \
	    --output-file requirements.lock
	@sed -n 's/^triton = \["\(.*\)"\]$$/\1/p' server/pyproject.toml | \
	    uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header \
	    --no-emit-index-url --no-emit-find-links - --output-file server/triton.lock
	@uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
	    --no-emit-index-url --no-emit-find-links $(OWN) $(UV_COMPILE_FLAGS) \
	    --extra gpu --extra tensorrt server/pyproject.toml --output-file server/gpu.lock
	@$(IMAGE_LOCK) server/pyproject.toml --output-file images/server-cpu/requirements.lock
	@$(IMAGE_LOCK) client/pyproject.toml --output-file images/client/requirements.lock
	@$(IMAGE_LOCK) operator_scripts/pyproject.toml --output-file images/ops/requirements.lock
	@echo 'hatchling>=1.27' | $(IMAGE_LOCK) - --output-file images/wheels.lock

clean: ## remove everything that was made here; downloads stay in the user's cache
	@rm -rf $(VENV) .assets $(OUT) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up in steps, each done again only when what it reads has changed.
$(STAMPS)/interpreter: $(SETUP)
	@$(PYTHON) $(SETUP) interpreter

$(STAMPS)/packages: requirements.lock server/triton.lock $(STAMPS)/interpreter
	@$(PYTHON) $(SETUP) packages

$(STAMPS)/distributions: protocol/pyproject.toml server/pyproject.toml client/pyproject.toml operator_scripts/pyproject.toml \
    $(STAMPS)/packages
	@$(PYTHON) $(SETUP) distributions

$(STAMPS)/gpu: server/gpu.lock $(ENVIRONMENT) $(ASSETS)
	@uv --no-config pip install --quiet --python $(BIN)/python --require-hashes --requirement server/gpu.lock
	@touch $@

$(ASSETS): server/src/segtriton_server/launch/assets.py server/src/segtriton_server/vision/networks/selfie_onnx.py $(ENVIRONMENT)
	@python -m segtriton_server.launch.assets --into .assets
	@python -m segtriton_server.vision.networks.selfie_onnx --networks .assets/networks
	@touch $@
