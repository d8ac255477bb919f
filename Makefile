# segnb: from clone to report. `make help` lists the targets and settings.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help report test chaos bench transfer lint lock format lab clean clean-all install-dev

# ---- settings, which the command line overrides: make report PRESET=standard SEEDS=0,1 -----------------
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

# ---- Python: the active environment if this checkout is installed in it, otherwise .venv ---------------
PY :=
ACTIVE := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))
HAS_SEGNB = import pathlib, segnb; assert pathlib.Path(segnb.__file__).parents[1] == pathlib.Path('$(CURDIR)')
ifneq ($(ACTIVE),)
  ifeq ($(shell "$(ACTIVE)/bin/python" -I -c "$(HAS_SEGNB)" 2>/dev/null && echo yes),yes)
    PY := $(ACTIVE)/bin/python
  endif
endif
ifneq ($(PY),)
  # In an environment of the user's own, only the packages for tests are installed.
  RUN_READY  :=
  TEST_READY := install-dev
else
  PY         := .venv/bin/python
  RUN_READY  := .venv/.installed
  TEST_READY := .venv/.installed-dev
endif

help:  ## list targets and settings
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Settings of make report (explained by segnb report --help):"
	@echo "  PRESET=quick                  smoke, quick, standard or paper"
	@echo "  DATA=streets                  streets, streets-false-colours, streets-car, streets-drives,"
	@echo "                                streets-drives-interleaved, or your own: FOLDER, LAYOUT:FOLDER"
	@echo "  VARIANTS=all                  all, study, fcn, unet, or comma-separated names of networks"
	@echo "  SEEDS=0,1,2                   comma-separated seeds (default: from the preset)"
	@echo "  EPOCHS=n                      epochs per run"
	@echo "  LEARNING_RATE=x               peak learning rate of U-Nets and FCN heads"
	@echo "  BACKBONE_LEARNING_RATE=x      peak learning rate of fine-tuned backbones"
	@echo "  WEIGHTS=auto                  auto, imagenet, imagenet+fc6, hed, random, or a file"
	@echo "  PRECISION=auto                auto, fp32, tf32, bf16 or fp16"
	@echo "  JOBS=n                        runs in parallel"
	@echo "  OFFLINE=1                     download nothing"
	@echo
	@echo "Examples:"
	@echo "  make report PRESET=smoke         check in 1½ minutes that everything works"
	@echo "  make report SEEDS=0,1,2          train three seeds per network"
	@echo "  make report DATA=path/to/folder  use your own images and masks"

report: $(RUN_READY)  ## train what is missing and build report/index.html
	@"$(PY)" -m segnb.cli report --preset "$(PRESET)" --data "$(DATA)" --variants "$(VARIANTS)" \
	  $(if $(SEEDS),--seeds "$(SEEDS)") $(if $(EPOCHS),--epochs "$(EPOCHS)") \
	  $(if $(LEARNING_RATE),--learning-rate "$(LEARNING_RATE)") \
	  $(if $(BACKBONE_LEARNING_RATE),--backbone-learning-rate "$(BACKBONE_LEARNING_RATE)") \
	  $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(PRECISION),--precision "$(PRECISION)") \
	  $(if $(JOBS),--jobs "$(JOBS)") $(if $(filter-out 0,$(OFFLINE)),--offline)

test: $(TEST_READY)  ## run the test suite on up to four cores
	@"$(PY)" -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder

chaos: $(TEST_READY)  ## test every step against hundreds of kills, full disks and damaged files (15 minutes)
	@"$(PY)" -m pytest --quiet --tb=short -m "" tests/chaos

bench: $(TEST_READY)  ## compare training with plain alternatives (minutes on an idle machine)
	@"$(PY)" -c "import segmentation_models_pytorch" 2>/dev/null || "$(PY)" -m pip install --quiet --editable '.[bench]'
	@"$(PY)" -m benchmarks speed --preset "$(PRESET)"

transfer: $(RUN_READY)  ## measure transfer from rendered scenes to photographs: make transfer DATA=FOLDER
	@"$(PY)" -m benchmarks transfer "$(DATA)"

lint: $(TEST_READY)  ## check style, imports, notebooks, phrases and spelling, and audit packages for known vulnerabilities
	@"$(PY)" -m ruff check .
	@"$(PY)" -m ruff format --check .
	@"$(PY)" -c "from importlinter.cli import lint_imports_command; lint_imports_command()" --no-logo
	@"$(PY)" -m nbstripout --verify notebooks/*.ipynb
	@"$(PY)" -m tests.prose
	@"$$(dirname "$(PY)")/typos"
	@"$(PY)" -m tests.vulnerabilities requirements.lock

lock: $(TEST_READY)  ## update requirements.lock: every package with the SHA-256 of its files
	@"$(PY)" -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-config --no-emit-index-url --quiet --custom-compile-command "make lock" --output-file requirements.lock

format: $(TEST_READY)  ## format code and notebooks
	@"$(PY)" -m ruff check --fix .
	@"$(PY)" -m ruff format .
	@"$(PY)" -m nbstripout notebooks/*.ipynb

lab: $(RUN_READY)  ## open JupyterLab in notebooks/, with the kernel "segnb" for this environment
	@"$(PY)" -m ipykernel install --sys-prefix --name segnb --display-name segnb
	@"$(PY)" -m jupyterlab --notebook-dir notebooks

clean:  ## remove the report, caches and rendered scenes; trained runs stay
	rm -rf report cache .snakemake .pytest_cache .ruff_cache runs/*/chapters runs/*/data-*.json runs/*/scenes-*.json
	find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +

clean-all: clean  ## also remove trained runs and .venv
	rm -rf runs .venv segnb.egg-info

.venv/bin/python:
	python3 -c "import sys; sys.exit(sys.version_info < (3, 11) and 'segnb: python3 is too old (expected Python 3.11 or newer)')"
	python3 -m venv .venv

.venv/.installed: EXTRA :=
.venv/.installed-dev: EXTRA := [dev]
.venv/.installed .venv/.installed-dev: .venv/bin/python pyproject.toml
	@echo "installing pinned packages into .venv (a few minutes, up to 6 GB)"
	"$(PY)" -m pip install --quiet --editable '.$(EXTRA)'
	@touch .venv/.installed $@

install-dev:
	@"$(PY)" -c "import axe_playwright_python, bs4, html5lib, hypothesis, importlinter, nbstripout, pip_audit, playwright" 2>/dev/null \
	  && "$(PY)" -c "import pytest, ruff, skimage, uv, xdist" 2>/dev/null || "$(PY)" -m pip install --quiet --editable '.[dev]'
