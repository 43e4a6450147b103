# Every target that needs Python builds .venv first. Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The interpreter behind $(PYTHON) (behind a shim, and behind .venv itself when that is activated), empty if it
# cannot run or is older than 3.11; and what a .venv made by it at this very place is known by. A .venv that was
# made by another interpreter, was moved, or no longer starts has no such stamp and is rebuilt.
BASE_PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys._base_executable if sys.version_info >= (3, 11) else "")' 2>/dev/null)
IDENTITY := $(if $(BASE_PYTHON),$(shell $(BASE_PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(repr((sys.version, sys.base_prefix, sys.argv[1])).encode()).hexdigest()[:16])' '$(CURDIR)'))
STAMP := $(VENV)/.ready-$(or $(IDENTITY),none)
VENV_WORKS := $(shell $(BIN)/python -c '' 2>/dev/null && echo yes)
ifneq ($(VENV_WORKS),yes)
.PHONY: $(STAMP)
endif

.PHONY: help
help: ## Show this list (what `make` alone does)
	@echo 'Almond: macaroon tokens as a gRPC service. Usage: make <target> [PYTHON=python3.12]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(STAMP) ## Start the service on the embedded default: nothing else to install, Ctrl-C stops it
	$(BIN)/almond dev

.PHONY: demo
demo: $(STAMP) ## Play the whole story once (mint, attenuate, verify, revoke, verify again) and exit
	$(BIN)/python tests/e2e/demo.py

.PHONY: test
test: $(STAMP) ## Run every test; needs Debian's postgresql, redis-server and faketime, and installs them where it may
	$(BIN)/python tests/support/system_packages.py
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# LOG=FILE keeps the result of each system; a run with the same file skips the systems that it has.
CHECKER := GRPC_ENABLE_FORK_SUPPORT=0 PYTHONPATH=tests $(BIN)/python -m faults

.PHONY: test-faults
test-faults: $(STAMP) ## Take out each guard and see it missed; then 1,000 rounds of faults (half an hour)
	$(BIN)/python tests/support/system_packages.py
	$(CHECKER).guards
	$(CHECKER).checker --rounds $(or $(ROUNDS),1000) $(if $(LOG),--log $(LOG))

.PHONY: check
check: $(STAMP) ## Everything short of tests: style, types, direction of imports, API compatibility, generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=server:clients/python $(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q -p no:cacheprovider tests/repository/test_layout.py tests/revocation/test_no_await.py
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against protos/baseline.binpb
	$(BIN)/python protos/generate.py --check

.PHONY: format
format: $(STAMP) ## Let ruff repair and format what it can
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

.PHONY: bench
bench: $(STAMP) ## Measure: worst token texts, propagation, watchers, workers, the view (SIZES="10000000 15000000")
	$(BIN)/python tests/bench/worst_inputs.py
	PYTHONPATH=tests $(BIN)/python tests/bench/propagation.py
	PYTHONPATH=tests $(BIN)/python tests/bench/watchers.py
	PYTHONPATH=tests $(BIN)/python tests/bench/workers.py
	$(BIN)/python tests/bench/view_size.py $(SIZES)

.PHONY: protos
protos: $(STAMP) ## Generate the Python stubs from protos/almond/v1
	$(BIN)/python protos/generate.py

.PHONY: protos-baseline
protos-baseline: $(STAMP) ## Declare today's protos the API that `make check` keeps compatible (at a release)
	$(BIN)/buf build protos --exclude-source-info -o protos/baseline.binpb

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: $(STAMP) ## Refresh the locked dependencies: what pyproject.toml asks for, or the newest with UPGRADE=1
	$(LOCK) pyproject.toml --extra dev -o requirements-dev.txt
	$(LOCK) pyproject.toml --extra server --extra traces --constraints requirements-dev.txt -o requirements.txt
	$(LOCK) --group pyproject.toml:build --constraints requirements-dev.txt -o requirements-build.txt

.PHONY: up
up: ## Build the image and start service and Redis with docker compose, on 127.0.0.1:50051
	docker compose up --build -d

.PHONY: down
down: ## Stop what `make up` started; the data stays in its volume
	docker compose down

.PHONY: venv
venv: $(STAMP) ## Build .venv from requirements-dev.txt; the targets above do it by themselves

.PHONY: clean
clean: ## Remove .venv, caches and build output; keep data
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A changed lock or pyproject.toml is installed into the .venv that is there; everything else builds it anew.
# Debian keeps ensurepip in a package of its own: root installs it, anybody else is told.
$(STAMP): requirements-dev.txt pyproject.toml
	@if [ -z '$(BASE_PYTHON)' ]; then \
		echo "Almond needs Python 3.11 or newer, and '$(PYTHON)' is none: try make PYTHON=python3.11" >&2; exit 1; \
	fi
	@if ! $(BASE_PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo 'Installing python3-venv, which Debian keeps apart from Python'; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
		else \
			echo '$(BASE_PYTHON) cannot make virtual environments: install python3-venv (sudo apt-get install python3-venv)' >&2; \
			exit 1; \
		fi; \
	fi
	@if [ '$(VENV_WORKS)' != yes ] || [ ! -e $(STAMP) ]; then \
		echo 'Building $(VENV) with $(BASE_PYTHON)'; \
		$(BASE_PYTHON) -m venv --clear $(VENV); \
	fi
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)
