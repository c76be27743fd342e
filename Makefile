# make install | demo | test | test-slow | test-faults | test-fuzz | check | docs | registry | bench | bench-full
# All targets use the virtual environment .venv. `install` creates it with all packages for training and tests. `docs`
# and `test` also install the packages for the documentation.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install -q --no-compile  # modules are compiled when they are first imported
PLUGINS := plugins/stargan_v2 plugins/fan_mask plugins/emoji plugins/earth plugins/regularize \
	examples/plugins/i2i-classics examples/plugins/i2i-spade examples/plugins/i2i-multispectral \
	examples/plugins/i2i-inpainting examples/plugins/i2i-stargan-v1 examples/plugins/i2i-munit \
	examples/plugins/i2i-esrgan
STAMP := $(VENV)/installed
DOCS := $(VENV)/installed-docs

.PHONY: install demo test test-slow test-faults test-fuzz check docs registry bench bench-full

install: $(STAMP)

$(STAMP): pyproject.toml requirements-torch.txt $(PLUGINS:%=%/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch, torchvision" 2>/dev/null || $(PIP) -r requirements-torch.txt
	$(PIP) "setuptools>=77"
	$(PIP) --no-build-isolation -e ".[dev]" $(PLUGINS:%=-e %)
	touch $@

$(DOCS): $(STAMP)
	$(PIP) --no-build-isolation -e ".[docs]"
	touch $@

demo: install
	$(BIN)/i2i train --recipe stargan_v2.yaml

test: install $(DOCS)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: install
	$(BIN)/python -m pytest -m slow

I2I_FAULTS ?= full
test-faults: install  # takes one to two hours on two idle cores; I2I_FAULTS=quarter takes a quarter of an hour
	mkdir -p build && rm -f build/faults.jsonl
	I2I_FAULTS=$(I2I_FAULTS) I2I_FAULTS_RESULTS=$(CURDIR)/build/faults.jsonl $(BIN)/python -m pytest -n 2 tests/faults; \
	code=$$?; I2I_FAULTS=$(I2I_FAULTS) $(BIN)/python -m tests.faults.report build/faults.jsonl; exit $$code

test-fuzz: install  # takes hours on two idle cores
	mkdir -p build && rm -f build/fuzz.jsonl
	I2I_FUZZ=full I2I_FUZZ_RESULTS=$(CURDIR)/build/fuzz.jsonl $(BIN)/python -m pytest -n 2 tests/fuzz; \
	code=$$?; I2I_FUZZ=full $(BIN)/python -m tests.faults.report build/fuzz.jsonl; exit $$code

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit.py

docs: install $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q
	@echo site/index.html

registry: install
	$(BIN)/python -m i2i_cli.catalogue registry.yaml i2i_core/registry/registry.yaml

bench: install  # takes about ten minutes on two idle cores
	$(BIN)/python -m benchmarks quick

bench-full: install  # takes more than half an hour
	$(BIN)/python -m benchmarks full
