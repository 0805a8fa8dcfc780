# drivenet: each target sets up what it needs in .venv; once set up, it works without a network.

PYTHON ?= python3
VENV ?= .venv
# The build of torch to use, as told to pip; with pip's --index-url in front, a smaller CPU-only one: see README, "Develop".
TORCH ?= torch==2.13.0 torchvision==0.28.0
PYTEST_ARGS ?= --numprocesses=auto --maxprocesses=4

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
METADATA := setup.py pyproject.toml

.PHONY: demo test lint bench clean

demo: $(VENV)/.base
	$(BIN)/drivenet run "synthetic://960x540@30?frames=150" --policy every \
		--out out/demo.mp4 --stats out/demo.jsonl --headless --overwrite

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.base
	$(BIN)/drivenet bench

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and by itself, so that the extras are satisfied with the build that was chosen.
$(VENV)/.dev: $(VENV)/.base
	$(PIP) install $(TORCH)
	$(PIP) install --no-build-isolation --editable ".[train,test,lint]"
	touch $@

$(VENV)/.base: $(METADATA)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "setuptools>=77"
	$(PIP) install --no-build-isolation --editable .
	touch $@
