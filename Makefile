# `make serve` opens the workbench; `make help` lists the rest.

PYTHON ?= python3
PORT   ?= 5006

# Minutes in which `make reliability` opens and closes pages.
MINUTES ?= 10

# The environment is .venv, made with PYTHON. A PYTHON that is given and belongs to a virtual
# environment (there sys.prefix is not sys.base_prefix) is used in that environment, and no .venv
# is made.
ENV := .venv
ifneq ($(origin PYTHON),file)
  GIVEN := $(shell $(PYTHON) -c 'import sys; print(sys.executable, \
             sys.prefix if sys.prefix != sys.base_prefix else ".venv")')
  ENV   := $(or $(word 2,$(GIVEN)),$(error PYTHON=$(PYTHON) does not run))
endif
BIN := $(ENV)/bin/python

# .venv is made when it is missing or half made, and again when another PYTHON is given.
ifeq ($(ENV),.venv)
  MADE   := .venv/.made
  REMAKE := $(and $(GIVEN),$(filter-out $(realpath $(firstword $(GIVEN))),\
              $(or $(realpath $(BIN)),none)))
endif

# Stamps of a finished install, without extras, with the test extra, and with that and the docs extra.
# A stamp holds the folder of the checkout that was installed, and counts for no other checkout.
APP   := $(ENV)/.relaxoscope
TEST  := $(ENV)/.relaxoscope-test
DOCS  := $(ENV)/.relaxoscope-docs
other  = $(if $(filter-out $(CURDIR),$(shell cat $(1) 2>/dev/null)),FORCE)

# The ranges are those of pyproject.toml.
HAS_TORCH := 'import torch, torchvision; \
  v = lambda m: tuple(map(int, m.__version__.split(".")[:2])); \
  ok = (2, 11) <= v(torch) < (2, 15) and (0, 26) <= v(torchvision) < (0, 30); \
  raise SystemExit(not ok)'

define INSTALL
@rm -f $(APP) $(TEST) $(DOCS)
@if $(BIN) -c $(HAS_TORCH) 2>/dev/null; \
then echo "Installing into $(ENV), which has torch: at most 0.4 GB to download."; \
else echo "Installing into $(ENV): on Linux about 3.4 GB to download and 7.0 GB on disk, nearly all"; \
     echo "of it torch with CUDA. PYTHON=/path/to/python names a Python that has torch instead."; \
fi
$(BIN) -m pip install --disable-pip-version-check
endef

.PHONY: help serve test docs redraw mutants product bench bench-runs reproduce reliability lint \
  types clean distclean FORCE

help:
	@echo 'make serve      open the workbench at http://localhost:$(PORT) (PORT=)'
	@echo 'make test       run every test, those in a browser too (ARGS= goes to pytest)'
	@echo 'make docs       build the documentation in build/docs/html; its pictures are of runs made then'
	@echo 'make redraw     export every view, look at its fonts, draw it again: are the pixels the same?'
	@echo 'make reliability  every fault, attack and bad input, long fuzzing, a soak (MINUTES=10); a table'
	@echo 'make mutants    put a mistake into a copy of the core, one by one: do the tests see it?'
	@echo 'make product    relax every combination of entries (ARGS=--most=2000 draws a sample)'
	@echo 'make bench      time the relaxation against peers (ARGS=--quick: does it run? in seconds)'
	@echo 'make bench-runs time recording and reading of runs (ARGS=--quick: does it run?)'
	@echo 'make reproduce  train the cells of published tables; wants ARGS="TABLE --data ROOT --out DIR";'
	@echo '                ARGS="estimate TABLE" measures how long it would take here'
	@echo 'make lint       ruff: rules and format'
	@echo 'make types      pyright'
	@echo 'make clean      remove caches and built distributions'
	@echo 'make distclean  the same, and .venv'
	@echo 'PYTHON=         the Python that makes .venv; if it has torch and torchvision, .venv uses'
	@echo '                those. If it belongs to a virtual environment, that one is used.'

serve: $(APP)
	$(BIN) -m workbench.cli serve --port $(PORT) $(ARGS)

test: $(TEST)
	@for c in $$CHROMIUM chromium chromium-browser google-chrome; do \
	  command -v $$c >/dev/null && exit; done; \
	echo 'No Chromium: the browser tests will not run. Debian: apt-get install chromium;' \
	     'elsewhere: CHROMIUM=/path/to/it'
	$(BIN) -m pytest -n auto --maxprocesses=4 --dist loadscope --no-loadscope-reorder $(ARGS)

reliability: $(TEST)
	RELIABILITY=whole RELIABILITY_COUNTS=.pytest_cache/reliability.json $(BIN) -m pytest -n auto \
	  --maxprocesses=4 --dist loadscope --no-loadscope-reorder \
	  tests/core/runs tests/workbench/test_replaying.py tests/workbench/test_fuzzed_sessions.py \
	  tests/workbench/test_links.py tests/workbench/test_registry.py \
	  tests/workbench/test_recording_sessions.py tests/test_bad_input.py \
	  tests/test_bad_input_stored.py tests/test_attacks.py tests/test_fuzzed_readers.py \
	  tests/test_serving.py tests/test_cli.py tests/test_cli_many.py tests/test_cli_resume.py \
	  tests/test_cli_runs.py tests/test_files.py tests/test_data_npz.py tests/test_data_cifar.py \
	  tests/core/test_determinism.py tests/core/test_rounding.py tests/test_sweeps.py \
	  tests/test_product.py $(ARGS)
	$(BIN) -m tests.reliability .pytest_cache/reliability.json --minutes $(MINUTES)

docs: $(DOCS)
	$(BIN) -m docs.site $(ARGS)

redraw: $(TEST)
	$(BIN) -m benchmarks.redraw $(ARGS)

mutants: $(TEST)
	$(BIN) -m tests.mutants $(ARGS)

product: $(TEST)
	$(BIN) -m tests.product $(ARGS)

bench: $(APP)
	$(BIN) -m benchmarks.relaxation $(ARGS)

bench-runs: $(APP)
	$(BIN) -m benchmarks.runs $(ARGS)

reproduce: $(APP)
	$(BIN) -m benchmarks.reproduce $(ARGS)

lint: $(TEST)
	$(BIN) -m ruff check .
	$(BIN) -m ruff format --check .

types: $(TEST)
	$(BIN) -m pyright --pythonpath $(BIN)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

$(APP): pyproject.toml $(MADE) $(call other,$(APP))
	$(INSTALL) -e .
	@echo $(CURDIR) > $@

$(TEST): pyproject.toml $(MADE) $(call other,$(APP) $(TEST))
	$(INSTALL) -e '.[test]'
	@echo $(CURDIR) | tee $(APP) > $@

$(DOCS): pyproject.toml $(MADE) $(call other,$(APP) $(TEST) $(DOCS))
	$(INSTALL) -e '.[test,docs]'
	@echo $(CURDIR) | tee $(APP) $(TEST) > $@

.venv/.made: $(REMAKE:%=FORCE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or later is needed: make PYTHON=/path/to/python")'
	@$(if $(REMAKE),false,$(BIN) -m pip --version >/dev/null 2>&1) || $(PYTHON) -m venv --clear \
	  $$($(PYTHON) -c $(HAS_TORCH) 2>/dev/null && echo --system-site-packages) .venv
	@touch $@
