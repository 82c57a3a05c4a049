# Two commands: `make demo` and `make test`. Both install what they need once, into .venv.
PYTHON ?= python3
VENV := .venv
WORKERS ?= 2
PYTEST := $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint check docs gate notebooks performance clean screenshots sweeps

demo: $(VENV)/.installed
	$(VENV)/bin/sft-probe demo -o runs/demo

test: $(VENV)/.installed-test
	$(PYTEST) -m "not slow"

check: $(VENV)/.installed-dev  ## what CI runs: linters, types, import contracts, all tests but the sweeps, the site
	$(MAKE) lint
	$(PYTEST) -m "not sweep"

sweeps: $(VENV)/.installed-test  ## planted doses and real data, probe by probe: half an hour
	$(PYTEST) -m sweep

gate: $(VENV)/.installed  ## the most important probes against planted doses: ten minutes at most on two cores
	$(VENV)/bin/sft-probe calibrate --quick -o runs/gate

docs: $(VENV)/.installed-dev  ## the site, into site/; look at it with `python3 -m http.server -d site`
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

screenshots: $(VENV)/.installed  ## pictures of the committed report of the demo, into docs/images; needs Chromium
	$(VENV)/bin/python docs/screenshots.py

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

notebooks: $(VENV)/.installed-dev  ## execute them anew and keep their outputs: five minutes on two cores
	$(VENV)/bin/python -m notebooks.execute

performance: $(VENV)/.installed-bench  ## benchmarks against other tools, a quarter of an hour; netrep is not in the registry
	$(VENV)/bin/python -m pip show --quiet netrep || $(PIP) --no-deps git+https://github.com/ahwillia/netrep@0186b8a77ec1ebaf541cc8f7173cb2556df8a8f0
	$(VENV)/bin/python -m analyses.performance -o reports/performance

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e ".[test]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) -e ".[test,dev,docs,notebooks]"
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) -e ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
