# Each verb makes the environment ready first; when it is ready already, that takes no time.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick nightly lint train bench

help:
	@echo "make demo    a camera, the node and a view of what it sees  (DEMO_ARGS='--help')"
	@echo "make test    every test, and the linters                    (TEST_ARGS='-k tracking')"
	@echo "make quick   the unit tests alone: no process, network, training or tower"
	@echo "make nightly the further cases of tables that make test samples"
	@echo "make lint    the linters alone"
	@echo "make train   train the embedded bundle                      (TRAIN_ARGS='--help')"
	@echo "make bench   speed and memory of the node on this machine"

setup:
	@$(PYTHON) scripts/setup.py

demo: setup
	@$(BIN)/fsb demo $(DEMO_ARGS)

test: setup
	@$(BIN)/python -m pytest -n auto -m "not nightly" --durations=10 $(TEST_ARGS)

quick: setup
	@$(BIN)/python -m pytest -n auto -m "not slow and not long and not nightly" --durations=10 $(TEST_ARGS)

nightly: setup
	@$(BIN)/python -m pytest -n auto -m nightly --durations=10 $(TEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

train: setup
	@$(BIN)/fsb-train fit fsb_training/recipes/nano.yaml $(TRAIN_ARGS)

bench: setup
	@$(BIN)/python scripts/bench.py $(BENCH_ARGS)
