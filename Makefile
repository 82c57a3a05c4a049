# Two commands: `make demo` and `make test`. Both install what they need once, into .venv.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint check clean

demo: $(VENV)/.installed
	$(VENV)/bin/sft-probe demo -o runs/demo

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest -m "not slow"

check: $(VENV)/.installed-dev  ## what CI runs: linters, types, import contracts, all tests
	$(MAKE) lint
	$(VENV)/bin/python -m pytest

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e ".[test]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) -e ".[test,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
