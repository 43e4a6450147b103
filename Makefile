# Every target that needs Python builds .venv first. Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# BASE_PYTHON is the interpreter behind $(PYTHON) (behind a shim, or behind an activated .venv); it is empty if that
# cannot run or is older than 3.11. IDENTITY names that interpreter and this directory. A .venv that another
# interpreter made, that was moved, or that no longer starts has no stamp of this name, and is rebuilt.
BASE_PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys._base_executable if sys.version_info >= (3, 11) else "")' 2>/dev/null)
IDENTITY := $(if $(BASE_PYTHON),$(shell $(BASE_PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(repr((sys.version, sys.base_prefix, sys.argv[1])).encode()).hexdigest()[:16])' '$(CURDIR)'))
STAMP := $(VENV)/.ready-$(or $(IDENTITY),none)
VENV_WORKS := $(shell $(BIN)/python -c '' 2>/dev/null && echo yes)
ifneq ($(VENV_WORKS),yes)
.PHONY: $(STAMP)
endif

.PHONY: help
help: ## Show this list; `make` alone does the same
	@echo 'Almond: macaroon tokens as a gRPC service. Usage: make <target> [PYTHON=python3.12]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(STAMP) ## Start a development service with its own store and Valkey, nothing to install; Ctrl-C stops it
	$(BIN)/almond dev

.PHONY: demo
demo: $(STAMP) ## Mint, attenuate, verify, revoke and verify again, against a service of its own
	$(BIN)/python tests/e2e/demo.py

.PHONY: test
test: $(STAMP) ## Run all tests; needs Debian's postgresql, pgbouncer, redis-server and faketime, and installs them as root
	$(BIN)/python tests/support/system_packages.py
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# LOG=FILE records the result of each system of ten rounds; a second run with the same file continues after them.
CHECKER := GRPC_ENABLE_FORK_SUPPORT=0 PYTHONPATH=tests $(BIN)/python -m faults

.PHONY: test-faults
test-faults: $(STAMP) ## Remove each guard and expect a broken law; then run 1,000 rounds of faults (half an hour)
	$(BIN)/python tests/support/system_packages.py
	$(CHECKER).guards
	$(CHECKER).checker --rounds $(or $(ROUNDS),1000) $(if $(LOG),--log $(LOG))

.PHONY: check
check: $(STAMP) ## Check style, types, import contracts, API compatibility and generated code; runs few tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=server:clients/python $(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q -p no:cacheprovider tests/repository/test_layout.py tests/revocation/test_no_await.py
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against protos/baseline.binpb
	$(BIN)/python protos/generate.py --check

.PHONY: format
format: $(STAMP) ## Fix and format the code with ruff
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

.PHONY: bench
bench: $(STAMP) ## Measure worst token texts, propagation, watchers, workers, the view (SIZES="10000000 15000000")
	$(BIN)/python tests/bench/worst_inputs.py
	PYTHONPATH=tests $(BIN)/python tests/bench/propagation.py
	PYTHONPATH=tests $(BIN)/python tests/bench/watchers.py
	PYTHONPATH=tests $(BIN)/python tests/bench/workers.py
	$(BIN)/python tests/bench/view_size.py $(SIZES)

.PHONY: protos
protos: $(STAMP) ## Generate the Python stubs from protos/almond/v1
	$(BIN)/python protos/generate.py

.PHONY: protos-baseline
protos-baseline: $(STAMP) ## Make today's protos the API that `make check` compares with (at a release)
	$(BIN)/buf build protos --exclude-source-info -o protos/baseline.binpb

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: $(STAMP) ## Lock dependencies for pyproject.toml again; UPGRADE=1 takes the newest versions
	$(LOCK) pyproject.toml --extra dev -o requirements-dev.txt
	$(LOCK) pyproject.toml --extra server --extra traces --constraints requirements-dev.txt -o requirements.txt
	$(LOCK) --group pyproject.toml:build --constraints requirements-dev.txt -o requirements-build.txt

.PHONY: up
up: ## Build the image, and start the service and Redis with docker compose on 127.0.0.1:50051
	docker compose up --build -d

.PHONY: down
down: ## Stop what `make up` started; the data stays in its volume
	docker compose down

.PHONY: venv
venv: $(STAMP) ## Build .venv from requirements-dev.txt; the targets above do this by themselves

.PHONY: clean
clean: ## Remove .venv, caches and build output; data stays
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A changed lock or pyproject.toml is installed into the existing .venv; every other change builds a new one.
# Debian ships ensurepip in a separate package: root installs it, other users get a message.
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
