# make demo | test | test-cuda | fuzz | mutants | lint | docs | clean | help
#
# Each creates $(VENV) where it is missing and installs what it needs with pip. A stamp for each set of packages, written
# after the installation, lets the next call start at once; pyproject.toml being newer than the stamp installs again.
# An environment that has everything already can be used in its place: make test VENV=/path/to/venv.

PYTHON ?= python3
VENV   ?= .venv
PYTEST ?=
MUTANTS ?=
FUZZ   ?= 60

BIN   := $(VENV)/bin
STAMP := $(VENV)/.fewer
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-cuda fuzz mutants lint docs clean

help: ## Show what there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(STAMP)/demo ## Train four recipes on bundled digits, print a table and the reports' paths.
	@$(BIN)/python examples/demo.py

test: $(STAMP)/dev ## Run all tests on two processes, one thread each; PYTEST="-k NAME" chooses.
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST)

test-cuda: $(STAMP)/dev ## Run what only a GPU can show: CPU parity, fp16, compiled sizes, two ranks over NCCL.
	@$(BIN)/python -m pytest -rs tests/cuda $(PYTEST)

fuzz: $(STAMP)/dev ## Read files of random content, FUZZ=60 seconds for each kind; a short fixed draw is among the tests.
	@FEWER_FUZZ_SECONDS=$(FUZZ) $(BIN)/python -m pytest tests/fuzz $(PYTEST)

mutants: $(STAMP)/mutants ## Change one line at a time and see whether the tests notice; MUTANTS="--count 60 --seed 0".
	@$(ONE_THREAD) $(BIN)/python tests/mutants.py $(MUTANTS)

lint: $(STAMP)/dev ## Check style and format (ruff), types (mypy strict) and layers (import-linter).
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(STAMP)/dev ## Write the pages and tables that are made from docstrings and results.
	@$(BIN)/python docs/generate.py
	@$(BIN)/python benchmarks/tables.py

clean: ## Remove caches and build products; runs/ and the environment stay.
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache src/fewer.egg-info
	find src tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP)/demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e .
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@mkdir -p $(STAMP) && touch $@ $(STAMP)/demo

$(STAMP)/mutants: $(STAMP)/dev
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[mutants]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "fewer needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
