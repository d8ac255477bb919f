# segnb: from clone to report. `make help` lists what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help report test chaos bench transfer lint lock format lab clean clean-all install-dev

# ---- what to train; each can be given on the command line: make report PRESET=standard SEEDS=0,1 ------
PRESET   := quick
DATA     := streets
VARIANTS := all
SEEDS    :=
EPOCHS   :=
LEARNING_RATE :=
BACKBONE_LEARNING_RATE :=
JOBS     :=
WEIGHTS  :=
PRECISION :=
OFFLINE  :=

# ---- which Python: the active environment if this checkout is installed in it, otherwise .venv --------
PY :=
ACTIVE := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))
HAS_SEGNB = import pathlib, segnb; assert pathlib.Path(segnb.__file__).parents[1] == pathlib.Path('$(CURDIR)')
ifneq ($(ACTIVE),)
  ifeq ($(shell "$(ACTIVE)/bin/python" -I -c "$(HAS_SEGNB)" 2>/dev/null && echo yes),yes)
    PY := $(ACTIVE)/bin/python
  endif
endif
ifneq ($(PY),)
  # Somebody else's environment: nothing is installed but what the tests need.
  RUN_READY  :=
  TEST_READY := install-dev
else
  PY         := .venv/bin/python
  RUN_READY  := .venv/.installed
  TEST_READY := .venv/.installed-dev
endif

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Settings (make report): PRESET=quick  SEEDS=0,1 (segnb report --help has all choices)"
	@echo "  DATA=streets|streets-false-colours|streets-car|streets-drives|streets-drives-interleaved|FOLDER|LAYOUT:FOLDER"
	@echo "  VARIANTS=all|study|fcn|unet|NAME,NAME  EPOCHS=n  LEARNING_RATE=x  BACKBONE_LEARNING_RATE=x  JOBS=n"
	@echo "  WEIGHTS=auto|imagenet|imagenet+fc6|hed|random|FILE  PRECISION=auto|fp32|bf16|tf32|fp16  OFFLINE=1 (fetch no weights)"

report: $(RUN_READY)  ## train what is missing and render report/index.html
	@"$(PY)" -m segnb.cli report --preset "$(PRESET)" --data "$(DATA)" --variants "$(VARIANTS)" \
	  $(if $(SEEDS),--seeds "$(SEEDS)") $(if $(EPOCHS),--epochs "$(EPOCHS)") \
	  $(if $(LEARNING_RATE),--learning-rate "$(LEARNING_RATE)") \
	  $(if $(BACKBONE_LEARNING_RATE),--backbone-learning-rate "$(BACKBONE_LEARNING_RATE)") \
	  $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(PRECISION),--precision "$(PRECISION)") \
	  $(if $(JOBS),--jobs "$(JOBS)") $(if $(filter-out 0,$(OFFLINE)),--offline)

test: $(TEST_READY)  ## run the whole test suite, on up to four cores
	@"$(PY)" -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder

chaos: $(TEST_READY)  ## kill, fill and damage every step of a study, hundreds of times; a quarter of an hour
	@"$(PY)" -m pytest --quiet --tb=short -m "" tests/chaos

bench: $(TEST_READY)  ## measure training beside plain alternatives; about seven minutes, machine otherwise idle
	@"$(PY)" -c "import segmentation_models_pytorch" 2>/dev/null || "$(PY)" -m pip install --quiet --editable '.[bench]'
	@"$(PY)" -m benchmarks speed --preset "$(PRESET)"

transfer: $(RUN_READY)  ## measure what rendered streets teach about real frames: make transfer DATA=FOLDER
	@"$(PY)" -m benchmarks transfer "$(DATA)"

lint: $(TEST_READY)  ## check style, the direction of imports and notebooks, and ask whether a package is known to be unsafe
	@"$(PY)" -m ruff check .
	@"$(PY)" -m ruff format --check .
	@"$(PY)" -c "from importlinter.cli import lint_imports_command; lint_imports_command()" --no-logo
	@"$(PY)" -m nbstripout --verify notebooks/*.ipynb
	@"$(PY)" -m tests.vulnerabilities requirements.lock

lock: $(TEST_READY)  ## write requirements.lock anew: every package with the SHA-256 of its files
	@"$(PY)" -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-config --no-emit-index-url --quiet --custom-compile-command "make lock" --output-file requirements.lock

format: $(TEST_READY)  ## put code and notebooks into the project's style
	@"$(PY)" -m ruff check --fix .
	@"$(PY)" -m ruff format .
	@"$(PY)" -m nbstripout notebooks/*.ipynb

lab: $(RUN_READY)  ## open JupyterLab in notebooks/, with this environment as the kernel "segnb"
	@"$(PY)" -m ipykernel install --sys-prefix --name segnb --display-name segnb
	@"$(PY)" -m jupyterlab --notebook-dir notebooks

clean:  ## remove the report, caches of tools and the rendered scenes; trained runs stay
	rm -rf report cache .snakemake .pytest_cache .ruff_cache runs/*/chapters runs/*/data-*.json
	find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +

clean-all: clean  ## remove the trained runs and .venv as well
	rm -rf runs .venv segnb.egg-info

.venv/bin/python:
	python3 -c "import sys; sys.exit(sys.version_info < (3, 11) and 'segnb needs Python 3.11 or newer as python3')"
	python3 -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	@echo "installing pinned packages into .venv: some minutes, up to 6 GB"
	"$(PY)" -m pip install --quiet --editable .
	@touch $@

.venv/.installed-dev: .venv/bin/python pyproject.toml
	@echo "installing pinned packages, those for tests too, into .venv: some minutes, up to 6 GB"
	"$(PY)" -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/.installed

install-dev:
	@"$(PY)" -c "import axe_playwright_python, bs4, html5lib, hypothesis, importlinter, nbstripout, pip_audit, playwright" 2>/dev/null \
	  && "$(PY)" -c "import pytest, ruff, uv, xdist" 2>/dev/null || "$(PY)" -m pip install --quiet --editable '.[dev]'
