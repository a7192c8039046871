# Everything runs from one environment, .venv, which follows pyproject.toml and uv.lock by itself.
# Another interpreter: make PYTHON=python3.13

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
SYNCED := .venv/.synced
FUZZER := .venv/.fuzzer
PYTEST := $(BIN)/python -m pytest -q
# A third of their time is waiting, for servers and on purpose: more of them than cores.
WORKERS := -n 3 --dist loadfile
ALONE = $(shell grep -rl --include='*.py' 'mark\.alone' tests)
# Bytecode is kept, whatever the shell says: each worker of the tests and each command loads it.
export PYTHONDONTWRITEBYTECODE =

# What touches tables of the main app. Files, parsers and commands find the same in any database.
BOTH_KINDS := $(addprefix tests/, accounts activity api console courses grades jobs learning \
  privacy sso submissions deliveries/test_inbox.py files/test_heic_as_jpeg.py \
  files/test_reconcile.py test_database.py test_incidents.py test_journey.py test_old_clients.py \
  test_plans.py)

# Runs a command and says how long it took: $(call step,NAME,COMMAND)
define step
@began=$$(date +%s); $(2); code=$$?; took=$$(($$(date +%s) - began)); \
printf '%s: %d:%02d min\n' '$(1)' $$((took / 60)) $$((took % 60)); exit $$code
endef

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(SYNCED) ## start the service, with its own Postgres and S3 unless .env names others; PORT=8001
	@exec $(BIN)/python -m app serve $(if $(PORT),--port $(PORT))

.PHONY: demo
demo: $(SYNCED) ## send homework through a running copy, and a grade to a Spark of the tests
	@exec $(BIN)/python -m tests.support.demo

.PHONY: quick
quick: static ## format, lint, imports, types, and the tests that need no server
	$(call step,pure tests,$(PYTEST) -m "pure and not soak")

.PHONY: test
test: $(SYNCED) ## run the tests against real Postgres and S3 servers; most of it is waiting
	$(call step,tests,$(PYTEST) $(WORKERS) -m "not alone and not soak" --ignore tests/adoption)
	$(call step,tests alone,$(PYTEST) -m "alone and not soak" $(ALONE))

.PHONY: adopted
adopted: $(SYNCED) ## test beside the main app: adopting, and those tests again on its database
	$(call step,adoption,$(PYTEST) $(WORKERS) -m "not soak" tests/adoption)
	$(call step,adopted tests,DATABASE_KIND=adopted $(PYTEST) $(WORKERS) \
	  -m "not (pure or soak)" $(BOTH_KINDS))
	$(call step,adopted upgrade,DATABASE_KIND=adopted $(PYTEST) -m soak tests/test_upgrade.py)

.PHONY: servers
servers: $(SYNCED) ## keep servers for the tests until Ctrl-C; the line it prints makes a shell use them
	@exec $(BIN)/python -m tests.support.servers

.PHONY: slow
slow: $(FUZZER) ## the tests that make test leaves out, with small numbers
	$(call step,slow tests,$(PYTEST) -n 2 --dist loadfile -m "soak and not alone")
	$(call step,slow tests alone,$(PYTEST) -m "soak and alone" $(ALONE))

.PHONY: soak
soak: $(FUZZER) ## all tests with the full numbers, half an hour of faults among them
	$(call step,soak,SOAK=1 $(PYTEST))

.PHONY: mutants
mutants: $(SYNCED) ## change the modules that guard, one thing at a time: do their tests notice?
	$(call step,mutants,$(BIN)/python -m tests.mutants)

.PHONY: check
check: static ## all that quick does, secrets, contract, deployment files, then make test
	$(call step,dependencies,$(BIN)/deptry .)
	$(call step,insecure code,$(BIN)/bandit -q -c pyproject.toml -r app migrations)
	$(call step,secrets,$(BIN)/python -m tests.support.find_secrets)
	$(call step,contract,$(BIN)/python -m app openapi --check)
	$(call step,image,$(BIN)/hadolint Dockerfile)
	$(call step,compose,$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml)
	@$(MAKE) --no-print-directory test

.PHONY: static
static: $(SYNCED)
	$(call step,format,$(BIN)/ruff format --check)
	$(call step,lint,$(BIN)/ruff check)
	$(call step,imports,$(BIN)/lint-imports)
	$(call step,types,$(BIN)/mypy)

.PHONY: format
format: $(SYNCED) ## format the code and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: release
release: VERSION = $(shell $(BIN)/python -c 'import app; print(app.__version__)')
release: $(SYNCED) ## keep this version's contracts in openapi/released, for good
	@grep -Eq '^## $(VERSION) \(20[0-9-]{8}\)$$' CHANGELOG.md \
	  || { echo 'CHANGELOG has no date yet: ## $(VERSION) ($(shell date +%F))' >&2; exit 1; }
	@test ! -e openapi/released/$(VERSION) \
	  || { echo '$(VERSION) is released: raise the version (CONTRIBUTING.md)' >&2; exit 1; }
	@$(BIN)/python -m app openapi --check
	@cd openapi && mkdir released/$(VERSION) && cp openapi.yaml internal.yaml released/$(VERSION)
	@cd openapi/released && sha256sum $(VERSION)/*.yaml >> SHA256SUMS
	@echo 'openapi/released/$(VERSION)'

.PHONY: openapi
openapi: $(SYNCED) ## write the contract to openapi/
	$(BIN)/python -m app openapi

# Of what the image installs, and no more: from an environment that holds only that.
.PHONY: sbom
sbom: $(SYNCED) ## write what the service is made of to sbom.json (CycloneDX)
	@UV_PROJECT_ENVIRONMENT=.sbom $(BIN)/uv sync -q --frozen --no-dev
	@$(BIN)/uv run -q --isolated --frozen --only-group sbom cyclonedx-py environment --output-reproducible \
	  --pyproject pyproject.toml --output-file sbom.json .sbom
	@rm -rf .sbom
	@echo 'sbom.json'

.PHONY: screenshots
screenshots: $(SYNCED) ## draw the pages of console and docs into screenshots/, light and dark, phone and desktop
	@mkdir -p screenshots
	SCREENSHOTS=screenshots $(PYTEST) tests/console/test_browser.py tests/console/test_browser_details.py \
	  tests/contract/test_docs_signer.py

.PHONY: clean
clean: ## remove the environment and all caches, not the data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache sbom.json
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
	@$(BIN)/uv sync -q --frozen --extra embedded --extra pictures
	@printf '%s\n' '$(CURDIR)' > $@

$(FUZZER): $(SYNCED)
	@$(BIN)/uv sync -q --frozen --extra embedded --extra pictures --group fuzz
	@touch $@
