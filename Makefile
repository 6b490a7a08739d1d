# Two commands on a fresh machine with Python 3.11, git and make: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := .venv/.demo-installed
CPU_TORCH := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format golden docs bench campaign mutants audit dist clean

help:  ## List these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP)  ## Create .venv and install everything

# The newest pip first: the one that comes with Python 3.11 does not know --group.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	@touch $@

# The demo needs neither linters nor test tools. On Linux pip's own PyTorch is the CUDA build, of some
# gigabytes; `make demo TORCH=cpu` takes the CPU build from PyTorch's own index.
$(DEMO): pyproject.toml constraints.txt
	@echo "Installing what the demo needs into .venv: about 1.3 GB with a CPU build of PyTorch."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(filter cpu,$(TORCH)),$(BIN)/python -m pip install torch --index-url $(CPU_TORCH))
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[demo]"
	@touch $@

demo: $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO))  ## Walk through every command on small data sets and write a report
	$(BIN)/sslprep demo demo-output --overwrite

# Three processes on two cores: while one waits for a worker, a browser or a time-out, two compute.
test: $(STAMP)  ## Run the whole test suite
	$(BIN)/python -m pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder $(OPTIONS)

check: $(STAMP)  ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## Format and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(STAMP)  ## Write the expected files of the tests anew; then read the diff
	$(BIN)/python tests/golden/regenerate.py

docs: $(STAMP)  ## Build the documentation, warnings are errors
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build

bench: $(STAMP)  ## Measure every system against a plain implementation and the floor
	$(BIN)/python benchmarks/run.py

campaign: $(STAMP)  ## The long fault campaign; prints the table of docs/reliability.md
	$(BIN)/python -m tests.faults.campaign

mutants: $(STAMP)  ## Plant small errors and see whether a test notices (MINUTES=20)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group audit
	$(BIN)/python -m tests.mutants.run --minutes $(or $(MINUTES),20)

audit: $(STAMP)  ## List what we depend on, and look up known vulnerabilities of it
	$(BIN)/python benchmarks/dependencies.py
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group audit
	$(BIN)/pip-audit --skip-editable

dist: $(STAMP)  ## Build wheel and sdist
	$(BIN)/python -m build

clean:  ## Remove what the commands above made
	rm -rf .venv build dist demo-output docs/_build
