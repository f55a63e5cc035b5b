# `make demo` and `make test` need nothing but python >= 3.11 and pip: they make their own .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null && \
  $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.nirfire-installed
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.PHONY: setup demo test test-all quick bench docs lint style types clean

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "nirfire needs python >= 3.11 with the venv module"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,docs,cluster]'
	@touch $@

demo: setup
	$(BIN)/nirfire demo -j $(JOBS)

# mypy is one process: beside it the tests take less of a core, and all is done half a minute earlier
test: style
	@$(MAKE) --no-print-directory -j 2 types quick

test-all: lint
	$(PYTEST) -m '' --hypothesis-profile default

quick: setup
	$(PYTEST)

lint: style types

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

bench: setup
	@mkdir -p build
	@for f in benchmarks/[a-z]*.py; do n=$$(basename $$f .py); $(BIN)/python $$f --json build/bench-$$n.json || exit 1; done

docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs-html
	@echo "docs: build/docs-html/index.html"

clean:
	rm -rf $(VENV) build
