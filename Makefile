# The two commands are `make run` and `make test`; the others serve them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MAY := $(shell if [ "$$(id -u)" = 0 ]; then echo yes; elif sudo -n true 2>/dev/null; then echo sudo; fi)
APT := $(if $(filter sudo,$(MAY)),sudo -n ,)apt-get
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help run test check lock bench clean tools

help: ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/'

run: $(VENV)/run.stamp ## install what is needed and start everything
	exec $(BIN)/python perfhouse.py up

test: $(VENV)/test.stamp tools check ## check the code and run every test
	$(BIN)/python -m pytest

check: $(VENV)/test.stamp ## format, lint, types, import contracts, the default configuration
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports > $(VENV)/contracts.log || { cat $(VENV)/contracts.log; exit 1; }
	$(BIN)/python perfhouse.py check

bench: $(VENV)/test.stamp ## measure against peers, into bench/results.md
	$(BIN)/python -m bench

lock: $(VENV)/test.stamp ## resolve requirements*.in into requirements*.txt
	$(LOCK) -o requirements.txt requirements.in
	$(LOCK) -o requirements-dev.txt requirements-dev.in

clean: ## remove what was installed and cached, never the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/.output

$(BIN)/python:
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	  echo "Perfhouse needs Python 3.11 or newer: install python3, or name one with make run PYTHON=..." >&2
	  exit 1
	fi
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
	  if [ -n "$(MAY)" ] && command -v apt-get > /dev/null; then
	    $(APT) update -qq && $(APT) install -y -qq python3-venv
	  else
	    echo "Perfhouse needs Python's venv: apt-get install python3-venv" >&2
	    exit 1
	  fi
	fi
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	@echo "installing what Perfhouse needs; the first time takes a minute or two" >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

$(VENV)/test.stamp: requirements-dev.txt $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

tools: # a browser and a PostgreSQL for the tests
	@missing=""
	command -v chromium > /dev/null || missing="$$missing chromium"
	compgen -G '/usr/lib/postgresql/*/bin/postgres' > /dev/null || missing="$$missing postgresql"
	if [ -n "$$missing" ]; then
	  if [ -n "$(MAY)" ] && command -v apt-get > /dev/null; then
	    $(APT) update -qq
	    DEBIAN_FRONTEND=noninteractive $(APT) install -y -qq $$missing > /dev/null
	  else
	    echo "The tests need:$$missing (apt-get install$$missing)" >&2
	    exit 1
	  fi
	fi
