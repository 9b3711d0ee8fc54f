# webmon: what a person does in this checkout. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Debian's own Python: the first python3 on PATH may be a version manager's, which sudo and a later shell need not have.
PYTHON ?= /usr/bin/python3
BIN := .venv/bin
STARTED := $(shell date +%s)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# A play whose host pattern matches nothing is an error, wherever Ansible runs from here.
export ANSIBLE_HOST_PATTERN_MISMATCH := error
# With LC_ALL=C Ansible refuses to start; C.UTF-8 is there on every Debian.
export LC_ALL := C.UTF-8

.PHONY: help demo demo-down test check browser controller dist bootstrap molecule integration attacks e2e mutations bench
.PHONY: recovery faults fuzz fuzz-store faults-down
.PHONY: test-down format lock clean

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: bootstrap  ## from nothing to live results on hosts of this machine; TARGETS=FILE adds your own list
	@$(BIN)/python -m tests.lab.demo --started $(STARTED) $(if $(TARGETS),--targets '$(TARGETS)')

demo-down:  ## stop the demo's hosts and remove all they left on this machine
	@tests/lab/lab destroy

test: bootstrap  ## everything that CI runs; a running demo is left alone
	@$(BIN)/python -m tests.everything

controller: old-enough  ## prepare this machine to run the playbooks: Ansible and webmon in .venv
	@$(PYTHON) -m tests.lab.bootstrap controller

dist: controller  ## the archive of a release, which installs without an index: build/dist/webmon-NAME.tar
	@$(BIN)/python roles/release/files/build_dist.py . build/dist

check: dev  ## lint, types, unit tests: two minutes
	@$(BIN)/python -m tests.everything check

browser: old-enough  ## look at the pages with Chromium, which it installs
	@$(PYTHON) -m tests.lab.bootstrap python browser
	@$(BIN)/python -m tests.everything browser

molecule: bootstrap  ## the roles' own tests; ROLE=NAME for one
	@$(BIN)/python -m tests.everything molecule $(ROLE)

integration: bootstrap  ## tests/integration and tests/peers on the test lab, which stays up for the next time
	@$(BIN)/python -m tests.everything integration

attacks: bootstrap  ## all of tests/attacks on the test lab, which stays up for the next time
	@$(BIN)/python -m tests.everything attacks

e2e: bootstrap  ## tests/e2e on the test lab, which stays up for the next time
	@$(BIN)/python -m tests.everything e2e

recovery: bootstrap  ## destroy controller, brokers and database of the test lab and bring them back; the lab stays up
	@$(BIN)/python -m tests.everything recovery

mutations: dev  ## put known faults into copies of the code: the unit tests must find each
	@$(BIN)/python -m tests.mutations

bench: bootstrap  ## measure against the bars, into build/bench.json; BENCH=NAME for one, FULL=1 for millions of rows
	@$(BIN)/python -m tests.everything bench $(if $(FULL),--full) $(BENCH)

faults: bootstrap  ## faults on real hosts, and what they cost: CASE=n for one, SEED=s, SCALE=x (1: as long as written)
	@$(BIN)/python -m tests.faults $(if $(CASE),--case $(CASE)) $(if $(SEED),--seed $(SEED)) $(if $(SCALE),--scale $(SCALE))

fuzz: dev  ## valid and nearly valid HTTP and TLS against the checks: SECS=600, RATE=200 a second, SEED=s
	@$(BIN)/python -m tests.fuzz --secs $(or $(SECS),600) $(if $(RATE),--rate $(RATE)) $(if $(SEED),--seed $(SEED))

fuzz-store: bootstrap  ## valid and nearly valid messages through the store, on the test lab's database: SECS=600, SEED=s
	@$(BIN)/python -m tests.everything fuzz-store $(or $(SECS),600) $(SEED)

faults-down:  ## remove the lab that `make faults` left up
	@LAB_NAME=$${LAB_NAME:-faults} tests/lab/lab destroy

test-down:  ## remove the labs that the tests left up
	@for name in test molecule; do LAB_NAME=$$name tests/lab/lab destroy; done
	@LAB_NAME=second LAB_NET=10.82.0 tests/lab/lab destroy

format: dev  ## put the code in form
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: dev  ## write the locks anew from pyproject.toml and requirements-*.in
	@tests/lock

clean: ## remove what was made in this checkout (the environment, caches, logs)
	rm -rf .venv build .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis webmon.egg-info

bootstrap: old-enough
	@$(PYTHON) -m tests.lab.bootstrap python lab browser

.PHONY: old-enough
old-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) must be Python 3.11 or later (Debian 12 has it); another one: make PYTHON=/path/to/python3 ..." >&2; exit 2; }

.PHONY: dev
dev: old-enough
	@[ -e .venv/dev ] && [ -z "$$(find .venv/made controller.py pyproject.toml requirements-*.lock -newer .venv/dev)" ] || \
	  $(PYTHON) -m tests.lab.bootstrap python

# Tests and linters, on top of what a controller has; `make` comes here through tests/lab/bootstrap.py.
.venv/dev: requirements-dev.lock .venv/made
	$(BIN)/pip install -q --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.lock
	$(BIN)/python -m compileall -q -j 0 -x ansible_collections .venv/lib || true
	touch $@
