.DEFAULT_GOAL := all
PYTHON ?= python3
BIN := .venv/bin

.venv/installed: pyproject.toml bulksync/__init__.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip && $(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

.PHONY: install  ## Create .venv with everything in it
install: .venv/installed

.PHONY: demo  ## Send the sample to an emulated API: real requests, no key, no network
demo: install
	$(BIN)/bulksync run samples/executions.csv --sandbox --restart
	head -n 4 samples/executions.csv.report.csv

.PHONY: test  ## Run every test
test: install
	$(BIN)/python -m compileall -q bulksync tests  # the tests start the program some thousand times
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal

.PHONY: format  ## Rewrite the code in the one style
format: install
	$(BIN)/ruff check --quiet --fix && $(BIN)/ruff format

.PHONY: lint  ## Check style and likely mistakes
lint: install
	$(BIN)/ruff check && $(BIN)/ruff format --check

.PHONY: types  ## Check the types, those of the tests too
types: install
	$(BIN)/mypy

.PHONY: cover  ## Show what no test runs
cover: install
	$(BIN)/coverage erase && $(BIN)/coverage run -m pytest && $(BIN)/coverage combine --quiet && $(BIN)/coverage report

.PHONY: audit  ## Ask PyPI for known holes in what is installed
audit: install
	test -x .venv/audit/bin/pip-audit || ($(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install --quiet pip-audit)
	$(BIN)/python -m pip freeze --exclude-editable > .venv/audit/installed.txt
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv/audit/installed.txt

.PHONY: crash  ## Kill and simulate far more often than make test does, and print the numbers
crash: install
	BULKSYNC_SEEDS=5000 BULKSYNC_KILLS=200 $(BIN)/python -m pytest -n 2 -rP --timeout 3600 tests/sender/test_simulation.py tests/end_to_end/test_crash.py

.PHONY: bench  ## Measure us and the peers side by side; writes tests/benchmarks/RESULTS.md
bench: install
	$(BIN)/python -m tests.benchmarks

.PHONY: clean  ## Remove what was built, measured or left by the demo
clean:
	rm -rf .venv .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info samples/*.report.*

.PHONY: all
all: lint types test
