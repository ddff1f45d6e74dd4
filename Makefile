# Every target sets up what it needs: a virtual environment in .venv, nothing outside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
BROWSER_STAMP := $(VENV)/.installed-browser
AARCH64 := .aarch64
FRONTENDS_VENV := .venv-frontends
FRONTENDS_STAMP := $(FRONTENDS_VENV)/.installed
WORKERS ?= 2
# Of the long random tests: the seeds, from-to, of the networks.
SEEDS ?=
# Of the benchmarks: another model, the folder or glob pattern of its images, further options of benchmarks/run.py.
MODEL ?=
IMAGES ?=
OPTIONS ?=
BENCH := benchmarks/run.py $(if $(MODEL),--model '$(MODEL)') $(if $(IMAGES),--images '$(IMAGES)') $(OPTIONS)

.PHONY: help demo test test-slow test-soak test-frontends test-browser test-aarch64 bench bench-quick lint format clean site

help:
	@echo "make demo            run the bundled campaign and print its report"
	@echo "make test            run the tests"
	@echo "make test-slow       run the tests on the larger models (minutes)"
	@echo "make test-soak       run the long random tests (hours); SEEDS=0-9999 for other networks"
	@echo "make test-frontends  run the frontends' tests with their frameworks, in .venv-frontends"
	@echo "make test-browser    run the tests of the report's page in Chromium, which root installs on Debian"
	@echo "make test-aarch64    run a campaign on 64-bit ARM, emulated, set up in .aarch64 (1 GiB)"
	@echo "make site            build the documentation as a site, in build/site"
	@echo "make bench           measure the speed (minutes); MODEL=m.onnx IMAGES=folder for another model"
	@echo "make bench-quick     the same, smaller, in under 3 minutes"
	@echo "make lint            ruff, ruff format, mypy --strict"
	@echo "make format          format the code"
	@echo "make clean           remove the virtual environments and what was built"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "mutatenn needs Python 3.10 or newer; run: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(STAMP)
	@rm -rf runs/demo
	$(BIN)/mutatenn run examples/demo.toml --out runs/demo
	@echo "Open $(CURDIR)/runs/demo/report/report.html in a browser to see what these images would miss."

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not soak and not browser"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "slow and not soak and not browser"

test-soak: $(STAMP)
	MUTATENN_SEEDS=$(SEEDS) $(BIN)/python -m pytest -n $(WORKERS) -m soak

$(FRONTENDS_STAMP): pyproject.toml
	$(PYTHON) -m venv $(FRONTENDS_VENV)
	$(FRONTENDS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(FRONTENDS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[keras,tensorflow,tflite,torch]' --group dev
	@touch $@

test-frontends: $(FRONTENDS_STAMP)
	$(FRONTENDS_VENV)/bin/python -m pytest -n $(WORKERS) -m "not soak" tests/frontends --ignore tests/frontends/onnx

$(BROWSER_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group browser
	@touch $@

test-browser: $(BROWSER_STAMP)
	@command -v chromium chromium-browser google-chrome >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] \
	  || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 || true
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m browser tests/browser

test-aarch64: $(STAMP)
	$(BIN)/python scripts/aarch64.py $(AARCH64)
	MUTATENN_AARCH64=$(AARCH64) $(BIN)/python -m pytest tests/aarch64 tests/backends/rpc/test_rpc_aarch64.py

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@touch $@

bench: $(BENCH_STAMP)
	$(BIN)/python $(BENCH)

bench-quick: $(BENCH_STAMP)
	$(BIN)/python $(BENCH) --quick

site: $(STAMP)
	$(BIN)/mkdocs build

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(FRONTENDS_VENV) $(AARCH64) .mypy_cache .pytest_cache .ruff_cache build dist
