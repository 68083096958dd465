# sdtool: `make` alone shows what can be made.

PYTHON ?= python3
# An index that pip looks at besides its own: PyTorch's CPU wheels, where pip's has none.
TORCH_WHEELS ?=
# 1: take torch from pip's own index, with its several GB of CUDA packages.
CUDA ?=

# Test files that run at a time; each may take a core and 2 GB.
JOBS ?= 2

# Where make gpu-check writes.
CHECK ?= gpu-check

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := $(BIN)/python -m pip install $(addprefix --extra-index-url ,$(TORCH_WHEELS))

# On Linux a plain torch may bring CUDA packages; the version with +cpu cannot.
CPU := $(if $(filter Linux,$(shell uname -s)),$(if $(filter 1,$(CUDA)),,+cpu))
TORCH := $(shell grep ^torch== constraints.txt)$(CPU)

# Idle OpenMP threads must not spin: two trainings side by side slow each other tenfold.
export OMP_WAIT_POLICY := passive

# What is compiled of the tests, in seven seconds a process, is kept for the next time.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check bench gpu-check tiny-prior judge clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Set up .venv with the tested versions (CUDA=1: with CUDA packages).

demo: $(READY) ## Turn "a corgi" into corgi.glb, on the CPU and without a network.
	@run="$$($(BIN)/sdtool lift 'a corgi' --rep dmtet)" \
		&& file="$$($(BIN)/sdtool export "$$run" --out corgi.glb)" \
		&& echo "Here is the corgi: $(CURDIR)/$$file" \
		&& echo "Eight sides of it: $(CURDIR)/$$run/views.png"

test: $(READY) ## Run the tests, JOBS=2 files of them at a time.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --durations=10

test-fast: $(READY) ## Run the tests that take seconds and need no trained prior.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow and not gpu"

check: $(READY) ## Check style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## Measure the figures that docs/performance.md claims, each beside a baseline.
	@$(BIN)/python -m sdtool.bench

gpu-check: $(READY) ## Try and measure everything on a GPU, in eight minutes (CHECK=gpu-check).
	@$(BIN)/python -m sdtool.bench gpu --out $(CHECK)

tiny-prior: $(READY) ## Train the bundled tiny priors again (hours on a CPU; DEVICE=cuda: minutes).
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/tiny_prior.sh

judge: $(READY) ## Train and calibrate the bundled judge of consistency again (two hours on a CPU; LEARN, REPORT: folders of real assets).
	$(BIN)/python -m sdtool.evaluating.judge_training --out sdtool/tiny/judge --assets $(LEARN)
	$(BIN)/python -m sdtool.evaluating.calibrating --out sdtool/tiny/judge --assets $(REPORT)

clean: ## Remove .venv and caches; results stay.
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info
	find sdtool stages tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "sdtool needs Python 3.11 or newer, and $(PYTHON) is not; name one that is:"; \
		echo "    make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --no-deps $(TORCH) || { \
		echo "If pip has found no $(TORCH), choose:"; \
		echo "    make $(MAKECMDGOALS) TORCH_WHEELS=URL"; \
		echo "        PyTorch's CPU wheels; its Get Started page shows the URL (Linux, Pip, CPU)"; \
		echo "    make $(MAKECMDGOALS) CUDA=1"; \
		echo "        torch with several GB of CUDA packages"; exit 1; } >&2
	$(INSTALL) -c constraints.txt -e ".[dev]"
	@touch $@
