# The two commands are `make run` and `make test`; the others serve them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
CACHES := .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/.output

# Installs Debian packages when it may (root, or sudo without a password), else tells what is missing.
define packages
packages() {
  sudo=""
  if [ "$$(id -u)" != 0 ]; then sudo="sudo -n"; fi
  if ! command -v apt-get > /dev/null || ! $$sudo true 2> /dev/null; then
    echo "Missing here: $$*. On Debian or Ubuntu: sudo apt-get install $$*" >&2
    exit 1
  fi
  echo "installing $$*" >&2
  $$sudo apt-get update -qq
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@" > /dev/null
}
endef

.PHONY: help run test soak install check lock bench screenshot clean tools

help: ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 18

run: $(VENV)/run.stamp ## install what is needed and start everything
	@exec $(BIN)/python perfhouse.py up

# Compiled once, not again in each of the hundreds of processes that the tests start.
test soak: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/test.stamp tools check ## check the code and run every test
	$(BIN)/python -m pytest -m alone
	$(BIN)/python -m pytest -m "not alone" --numprocesses 2 --dist loadfile

soak: $(VENV)/test.stamp tools ## run the faults in their long form: about an hour
	PERFHOUSE_SOAK=1 $(BIN)/python -m pytest tests/faults

install: $(VENV)/run.stamp ## install what is needed

check: $(VENV)/test.stamp ## format, lint, types, import contracts, links, the default configuration
	@shown() { echo "check: $$1" >&2; shift; "$$@" > $(VENV)/check.log 2>&1 || { cat $(VENV)/check.log; exit 1; }; }
	shown format $(BIN)/ruff format --check .
	shown lint $(BIN)/ruff check .
	shown types $(BIN)/mypy
	shown "import contracts" $(BIN)/lint-imports
	shown "links in the documentation" $(BIN)/python -m pytest tests/docs/test_links.py
	shown "default configuration" $(BIN)/python perfhouse.py check

bench: $(VENV)/bench.stamp tools ## measure against peers, into bench/results.md
	@$(packages)
	command -v promtool > /dev/null && command -v wrk > /dev/null || packages prometheus wrk
	$(BIN)/python -m bench

lock: $(VENV)/test.stamp ## resolve requirements*.in into requirements*.txt
	$(LOCK) -o requirements.txt requirements.in
	$(LOCK) -o requirements-dev.txt requirements-dev.in
	$(LOCK) -o requirements-bench.txt requirements-bench.in

screenshot: $(VENV)/test.stamp tools ## take the README's pictures of what `make run` shows
	$(BIN)/python docs/screenshot.py

clean: ## remove what was installed and cached, never the data
	rm -rf $(VENV) $(CACHES)

$(VENV)/venv.stamp:
	@$(packages)
	if ! command -v $(PYTHON) > /dev/null || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	  echo "Perfhouse needs Python 3.11 or newer: install python3, or name one: make run PYTHON=/path/to/python" >&2
	  exit 1
	fi
	if ! $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null; then
	  packages "$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
	fi
	$(PYTHON) -m venv $(VENV)
	printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$(CURDIR)/$(BIN)/python" "$(CURDIR)/perfhouse.py" > $(BIN)/perfhouse
	chmod +x $(BIN)/perfhouse
	touch $@

$(VENV)/run.stamp: requirements.txt $(VENV)/venv.stamp
	@echo "installing what Perfhouse needs; the first time takes a minute or two" >&2
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/test.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo "installing what the tests need" >&2
	$(PIP) -r requirements-dev.txt
	touch $@

$(VENV)/bench.stamp: requirements-bench.txt $(VENV)/test.stamp
	@echo "installing what the measurements need" >&2
	$(PIP) -r requirements-bench.txt
	touch $@

tools:
	@$(packages)
	missing=()
	command -v chromium-headless-shell > /dev/null || missing+=(chromium-headless-shell)
	compgen -G '/usr/lib/postgresql/*/bin/postgres' > /dev/null || missing+=(postgresql)
	[ -x /usr/sbin/mariadbd -a -x /usr/bin/my_print_defaults ] || missing+=(mariadb-server-core mariadb-client-core)
	command -v redis-server > /dev/null || missing+=(redis-server)
	command -v faketime > /dev/null || missing+=(faketime)
	command -v strace > /dev/null || missing+=(strace)
	if [ "$${#missing[@]}" != 0 ]; then packages "$${missing[@]}"; fi
