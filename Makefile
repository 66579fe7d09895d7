# ZeroState. `make` prints what there is; the first target that needs it sets up
# .venv by itself. Pass options on with ARGS, for example:
#   make demo ARGS="--once"      make test ARGS="tests/unit/telemetry -x"
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BENCH := .venv-bench
PYTHON ?=
ARGS ?=
export PYTHON

# Setup runs again only when what it installs from has changed.
RUNTIME := $(VENV)/.installed-runtime
FULL := $(VENV)/.installed
SETUP_SCRIPTS := tools/setup_venv.sh tools/check_prerequisites.sh

.PHONY: help setup demo test test-slow lint fmt bench docs lock tasks

help: ## Show these targets
	@echo "ZeroState: one task across real processes, one trace."
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	    awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo
	@echo '  Options go in ARGS: make demo ARGS="--once"'

$(RUNTIME): requirements-runtime.lock pyproject.toml $(SETUP_SCRIPTS)
	@tools/setup_venv.sh runtime >&2

$(FULL): requirements.lock pyproject.toml $(SETUP_SCRIPTS)
	@tools/setup_venv.sh full >&2

setup: $(FULL) ## Check the prerequisites and install everything into .venv
	@echo "$(VENV) is ready: make demo, make test"

demo: $(RUNTIME) ## Run one task across real peers and show its trace (ends with Ctrl-C)
	@$(VENV)/bin/zerostate demo $(ARGS)

test: $(FULL) ## Run the tests (without the slow ones)
	@$(VENV)/bin/pytest -m "not slow" $(ARGS)

test-slow: $(FULL) ## Run the tests that take minutes
	@$(VENV)/bin/pytest -m slow $(ARGS)

lint: $(FULL) ## Check format, style, types and the import contracts
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

fmt: $(FULL) ## Format the code and fix what can be fixed safely
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(FULL) $(BENCH)/.installed ## Run the benchmarks, one after another
	@for bench in benchmarks/{ingest,execution,payment,chain,p2p,demo}.py; do \
	    echo "==> $$bench"; $(VENV)/bin/python "$$bench"; done
	@echo "==> benchmarks/telemetry.py"
	@PYTHONPATH=src $(BENCH)/bin/python benchmarks/telemetry.py

# The rivals that benchmarks/telemetry.py shows beside us; nothing else needs them.
$(BENCH)/.installed: requirements-bench.lock $(FULL)
	@$(VENV)/bin/python -m venv --clear $(BENCH)
	@$(BENCH)/bin/python -m pip --disable-pip-version-check install --quiet \
	    --require-hashes --requirement requirements-bench.lock
	@touch $@

docs: $(FULL) ## Write the generated documents and check all links
	@$(VENV)/bin/python tools/generate_config_reference.py
	@$(VENV)/bin/python tools/generate_semconv.py
	@$(VENV)/bin/pytest -q tests/architecture/test_docs.py

tasks: $(FULL) ## Rebuild the example tasks from their sources
	@$(VENV)/bin/pip install --quiet --group tasks
	@$(VENV)/bin/python tools/build_tasks.py

lock: $(FULL) ## Resolve requirements.lock again (some minutes)
	@tools/lock.sh
