# drivenet: each target sets up what it needs in .venv; once set up, it works without a network.

PYTHON ?= python3
VENV ?= .venv
# The build of torch to use, as told to pip; with pip's --index-url in front, a smaller CPU-only one: see CONTRIBUTING.md.
TORCH ?= torch==2.13.0 torchvision==0.28.0
PYTEST_ARGS ?= --numprocesses=auto --maxprocesses=4

CORE := artefacts data engine evaluation panoptic pipeline sources stages synthetic things
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
METADATA := setup.py pyproject.toml

.PHONY: demo test test-all soak fuzz lint docs bench clean coverage

demo: $(VENV)/.base
	$(BIN)/drivenet run "synthetic://960x540@30?frames=150" --policy every \
		--out out/demo.mp4 --stats out/demo.jsonl --headless --overwrite

# What a contributor needs before a commit; test-all is what .ci/run runs.
test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow"

test-all: coverage
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(CORE:%=--ignore=tests/%)

# The packages that every frame passes, and those that score: their tests start few processes, which coverage would slow.
# The floor is fail_under in pyproject.toml.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(CORE:%=tests/%) --cov --cov-report=term:skip-covered

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# The long forms of what the suite does for seconds: an hour of a node at work, 200 kills of it and 50 of its camera, and
# 10,000 damaged inputs. Shorter: make soak DRIVENET_SOAK_MINUTES=5 DRIVENET_KILLS=10
DRIVENET_SOAK_MINUTES ?= 60
DRIVENET_KILLS ?= 200
DRIVENET_RTSP_KILLS ?= 50
DRIVENET_FUZZ ?= 10000

soak: $(VENV)/.dev
	DRIVENET_SOAK_MINUTES=$(DRIVENET_SOAK_MINUTES) DRIVENET_KILLS=$(DRIVENET_KILLS) \
		DRIVENET_RTSP_KILLS=$(DRIVENET_RTSP_KILLS) $(BIN)/python -m pytest -s --numprocesses=0 \
		tests/soak/test_soak.py tests/supervise tests/sources/test_rtsp_kills.py tests/sinks/test_power_cut.py

fuzz: $(VENV)/.dev
	DRIVENET_FUZZ=$(DRIVENET_FUZZ) $(BIN)/python -m pytest -s --numprocesses=0 tests/soak/test_fuzz.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.base
	$(BIN)/python tools/bench_parent.py

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and by itself, so that the extras are satisfied with the build that was chosen.
$(VENV)/.dev: $(VENV)/.base
	$(PIP) install $(TORCH)
	$(PIP) install --no-build-isolation --editable ".[train,test,lint,docs]"
	$(PIP) uninstall --yes typing # a backport that cityscapesScripts brings; it hides Python's own without site
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) install --no-build-isolation --editable ".[docs]"
	touch $@

$(VENV)/.base: $(METADATA)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "setuptools>=77"
	$(PIP) install --no-build-isolation --editable .
	touch $@
