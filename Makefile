# Two commands do everything: `make demo` runs the main job for real, `make test` passes the tests.
.DEFAULT_GOAL := help
.PHONY: help setup demo test browser up down bench lint settings lock clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# uv brings its own list of certificates; a company's TLS proxy is known only to the system's.
export UV_SYSTEM_CERTS ?= 1

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: .venv/ready  ## create .venv from the locked requirements (uv if it can be had, pip otherwise)

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else f"Python 3.11 is needed, {sys.executable} is {sys.version.split()[0]}; set PYTHON=/path/to/python3.11")'
	@echo "Setting up .venv: about 2 GB, once"
	@$(PYTHON) -m venv .venv
# The pip of Python 3.11 takes celery[redis] and others in a file with hashes for unpinned; pip 26 does not.
	@$(BIN)/python -m pip install --quiet uv || echo "uv cannot be had"
	@{ $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt && \
	   $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; } || \
	 { echo "Going on with pip: this takes some minutes"; \
	   $(BIN)/python -m pip install --quiet --upgrade 'pip>=26' && \
	   $(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt && \
	   $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . ; }
	@touch $@

demo: setup  ## the main job, end to end (FEATURES=table.parquet brings a ready feature table, ACCEPT="reason" accepts findings)
	@$(BIN)/python -m sandbox.demo $(if $(FEATURES),--features "$(FEATURES)") $(if $(ACCEPT),--accept-findings "$(ACCEPT)")

test: setup lint browser  ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile

browser:  ## chromium, in which the tests press the buttons of Airflow's UI (Debian's package)
	@command -v chromium >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "The browser tests need chromium on the PATH, and there is no apt-get here to install it: install it by hand"; exit 1; }; \
	  root=$$([ "$$(id -u)" = 0 ] || command -v sudo) || { echo "The browser tests need chromium: as root, apt-get install chromium"; exit 1; }; \
	  echo "Installing chromium for the browser tests"; \
	  $$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

lint: setup  ## ruff (with Airflow's rules), mypy on the library, the layer rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

up: setup  ## start Airflow and the sandbox org and keep them running
	@$(BIN)/python -m sandbox.stack up

down:  ## stop what `make up` started
	@$(BIN)/python -m sandbox.stack down

bench: setup  ## all benchmarks; one alone: .venv/bin/lead-scoring bench NAME
	@$(BIN)/lead-scoring bench all

settings: setup  ## what is generated: docs/configuration.md from the settings, include/salesforce from the field mapping
	@$(BIN)/python -m lead_scoring.settings > docs/configuration.md
	@$(BIN)/lead-scoring salesforce metadata --out include/salesforce

lock:  ## requirements.in -> requirements.txt
	@$(BIN)/python -m uv pip compile requirements.in --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.txt

clean: down  ## forget the laptop's data and models, keep .venv
	rm -rf state models/calibrated models/production models/registry
