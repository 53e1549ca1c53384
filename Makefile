# Every target sets up .venv by itself, and anew when a pyproject.toml or constraints.txt changed.
# Needs make and Python >= 3.11 with venv; another one by `make test PYTHON=python3.13`.

PYTHON   ?= python3
PACKAGES := $(patsubst %/pyproject.toml,%,$(sort $(wildcard antflow-*/pyproject.toml)))
VENV     := .venv
READY    := $(VENV)/.ready
PY       := $(VENV)/bin/python
PIP      := $(PY) -m pip --quiet --disable-pip-version-check --no-input
CACHES   := .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

ARGS     ?=
REQUIRE  ?=
SECONDS  ?= 600
# Two more than there are processors: real programs and terminals are waited for.
JOBS     ?= $(shell expr `getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2` + 2)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-documents coverage fuzz lint format sizes docs check-site bench clean
.PHONY: pictures motion trace-picture
.PHONY: build test-wheel check-packages release publish

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## fetch 700 files from a server that limits calls, parse and store them (ARGS=--help)
	@$(PY) examples/survey.py $(ARGS)

# Compiled modules are kept, or each of the hundreds of processes of the tests compiles antflow anew.
test test-documents: export PYTHONDONTWRITEBYTECODE =
test test-documents: PYTEST := $(PY) -m pytest -rs --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
test: $(READY) ## run the tests of the code (ARGS="-k channel" for some; JOBS=0 in one process)
	$(PYTEST) --ignore=tests/documents --ignore=tests/examples $(ARGS)

test-documents: $(READY) ## run the examples, and all programs and shell lines of the documents
	$(PYTEST) tests/documents tests/examples $(ARGS)

coverage: $(READY) ## run the tests and show the lines they do not reach
	$(PY) -m coverage run -m pytest $(ARGS)
	$(PY) -m coverage report

fuzz: $(READY) ## search for bad interleavings (SECONDS=60, default 600)
	FUZZ_SECONDS=$(SECONDS) $(PY) -m pytest -o faulthandler_timeout=0 tests/core/fuzzing/test_fuzz.py $(ARGS)

lint: $(READY) ## check style, format, types and the direction of imports
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

format: $(READY) ## put the code in the one format, fix what can be fixed
	$(PY) -m ruff check --fix-only
	$(PY) -m ruff format

sizes: $(READY) ## report how long files and functions are
	$(PY) -m tools.sizes

docs: $(VENV)/.docs-ready ## build the site strictly, into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

check-site: docs $(VENV)/.browser-ready ## look at every page of the site in Chromium (ARGS=--screenshots=FOLDER)
	$(PY) -m tools.check_site $(ARGS)

bench: $(READY) ## measure against peers, into benchmarks/RESULTS.md
	$(PY) benchmarks/run.py $(ARGS)

pictures: $(READY) ## draw the displays for the documents anew, into docs/images
	$(PY) -m tests.packages.rich.pictures

motion: $(READY) ## record `make demo` as a picture that moves, into docs/images/demo.svg
	$(PY) -m tests.packages.rich.motion

trace-picture: $(READY) ## draw the trace of an item of a real run, into docs/images/trace.svg
	$(PY) -m tests.packages.otel.trace_picture

build: $(READY) ## build sdist and wheel into dist/
	$(PY) -m tools.build_packages

test-wheel: build ## run the tests against the built wheels on each Python found (REQUIRE=3.11, ARGS=--lowest)
	$(PY) -m tools.test_wheel $(addprefix --require ,$(REQUIRE)) $(ARGS)

check-packages: build $(VENV)/.release-ready ## check what is built: metadata, installing each alone, types
	$(PY) -m tools.check_packages

release: test test-documents lint docs check-packages test-wheel ## build and check everything, and list what `make publish` does
	$(PY) -m tools.test_wheel --lowest --require 3.11 3.11
	$(PY) -m tools.release

publish: release ## check everything, then tag the version, upload the packages and push the tag
	$(PY) -m tools.release --publish

clean: ## remove all that make has made, .venv included
	rm -rf $(VENV) dist site benchmarks/.envs $(CACHES)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "antflow needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make PYTHON=python3.11 ..." >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo "'$(PYTHON)' lacks venv or ensurepip: install its venv package, or name another: make PYTHON=python3.11 ..." >&2; \
	    exit 1; }
	@echo "setting up $(VENV), which takes about a minute"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --constraint constraints.txt --upgrade pip
	@$(PIP) install --constraint constraints.txt --group dev
	@$(PIP) install --constraint constraints.txt --no-build-isolation $(PACKAGES:%=--editable %)
	@touch $@

# What only some targets need is installed when one of them is made.
$(VENV)/.%-ready: $(READY)
	@$(PIP) install --constraint constraints.txt --group $*
	@touch $@
