# make demo   simulate exposures, stack them, show what it did
# make test   run every test
# make lint   style and types
# make docs   build the site of docs/ into docs/_build/html, where any warning is an error
# make test-oldest   run tests with the oldest versions of all that is needed
# make fuzz   break 100,000 files and read them, for a job at night
#
# Each makes .venv and installs into it what it needs, once; a change of pyproject.toml
# installs again. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
# The tests that use most of the libraries that gpustack depends on, and a few others.
OLDEST := $(addprefix tests/test_,$(addsuffix .py,about align_doors align_flux align_offsets \
  align_register align_reproject backends ccdproc_suite cli cli_images combine_files combiner \
  demo engine explain frames frames_fits frames_tiles header map_extensions measures replay \
  report result wcs_project writing))

# Without bytecode every process that the tests start would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-oldest lint docs fuzz
.NOTPARALLEL:

demo: .venv/plot.stamp
	$(BIN)/gpustack demo

# Files in the order of their names: by default those with few tests run last, and some take long.
test: .venv/test.stamp
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-oldest: .venv-oldest/stamp
	.venv-oldest/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(OLDEST)

# One test that takes many minutes: it must not be taken for one that hangs, and printing the trace of
# a running thread can crash Python.
fuzz: .venv/test.stamp
	HYPOTHESIS_PROFILE=night $(BIN)/python -m pytest -q -o faulthandler_timeout=0 tests/test_fuzz.py

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

.venv-oldest/stamp: pyproject.toml tests/oldest.txt
	@echo "Installing the oldest versions into .venv-oldest"
	@"$(PYTHON)" -m venv .venv-oldest
	@.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint tests/oldest.txt --editable '.[test]'
	@touch $@

.venv/made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gpustack needs Python 3.11 or newer; got $$("$(PYTHON)" --version 2>&1) from" \
	    "$(PYTHON). Name another one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv
	@touch $@
