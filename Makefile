# make demo   simulate exposures, stack them, show what it did
# make test   run every test
# make lint   style and types
# make docs   build the site of docs/ into docs/_build/html, where any warning is an error
# make fuzz   break 100,000 files and read them, for a job at night
#
# Each makes .venv and installs into it what it needs, once; a change of pyproject.toml
# installs again. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs fuzz
.NOTPARALLEL:

demo: .venv/plot.stamp
	$(BIN)/gpustack demo

test: .venv/test.stamp
	$(BIN)/python -m pytest -n auto --dist loadfile

fuzz: .venv/test.stamp
	HYPOTHESIS_PROFILE=night $(BIN)/python -m pytest -q tests/test_fuzz.py

docs: .venv/docs.stamp
	$(BIN)/python -m sphinx -W --keep-going -n -q docs docs/_build/html

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/%.stamp: pyproject.toml | .venv/made
	@echo "Installing gpustack[$*] into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

.venv/made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gpustack needs Python 3.11 or newer; got $$("$(PYTHON)" --version 2>&1) from" \
	    "$(PYTHON). Name another one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv
	@touch $@
