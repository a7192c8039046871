# Everything runs from one environment, .venv, which follows pyproject.toml and uv.lock by itself.
# Another interpreter: make PYTHON=python3.13

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
SYNCED := .venv/.synced

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(SYNCED) ## start the service, with its own Postgres and S3 unless .env names others
	@exec $(BIN)/python -m app serve

.PHONY: demo
demo: $(SYNCED) ## send a student and homework through a running copy, and show each step
	@exec $(BIN)/python -m app demo

.PHONY: test
test: $(SYNCED) ## run the tests against real Postgres and S3 servers; most of it is waiting
	$(BIN)/python -m pytest -q -n 3 -m "not alone"
	$(BIN)/python -m pytest -q -m alone

.PHONY: soak
soak: $(SYNCED) ## the tests with the full numbers: slower
	SOAK=1 $(BIN)/python -m pytest -q

.PHONY: check
check: $(SYNCED) ## format, lint, imports, types, contract, deployment files, then the tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/deptry .
	$(BIN)/python -m app openapi --check
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(MAKE) test

.PHONY: format
format: $(SYNCED) ## format the code and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: openapi
openapi: $(SYNCED) ## write the contract to openapi/
	$(BIN)/python -m app openapi

.PHONY: clean
clean: ## remove the environment and all caches, not the data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.local -prune -o -name __pycache__ -prune -exec rm -rf {} +
	@echo 'The data of make run are in .local; to remove them too: rm -rf .local'

# The scripts of an environment name its folder, so one that was made elsewhere is made again.
ifneq ($(shell cat $(SYNCED) 2>/dev/null),$(CURDIR))
.PHONY: $(SYNCED)
endif

$(SYNCED): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo '$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.11' >&2; exit 1; }
	@echo 'Installing into .venv (about a minute the first time)'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync -q --frozen --extra embedded
	@printf '%s\n' '$(CURDIR)' > $@
