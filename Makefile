# Everything runs in .venv, made on first use from the pinned versions in constraints.txt.
PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup train test check smoke reproduce comparisons bench scaling soak audits pagespeed screenshots docs serve clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY)  ## the environment alone

# torch first and by its pinned version: an unpinned one may pull gigabytes of CUDA packages
$(READY): pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

train: $(READY)  ## the quickstart: pretrain, warm up, GRPO, evaluate (SEED=7 for another seed)
	$(BIN)/whet run quickstart --seed $(SEED)

test: $(READY)  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

smoke: $(READY)  ## every recipe and arm for 2 steps
	$(BIN)/python -m pytest tests/recipes/test_smoke.py

reproduce: $(READY)  ## run every recipe whose result is stale, and write the catalogue page again
	$(BIN)/whet reproduce
	$(BIN)/whet report --docs docs/catalogue.md

comparisons: $(READY)  ## the pages that compare curricula, pass@k, control of length and policy gradients, about 20 minutes
	for one in curricula limit-of-rlvr length-control policy-gradients; do $(BIN)/whet reproduce $$one || exit 1; done
	for page in curricula reach length; do $(BIN)/python -m bench.$$page || exit 1; done
	$(BIN)/whet report --docs docs/catalogue.md

bench: $(READY)  ## speed and memory beside TRL and transformers, about 12 minutes; into results/ and docs/speed.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench]"
	$(BIN)/python -m bench

scaling: $(READY)  ## tokens per second against batch, length, group and model, about 4 minutes
	$(BIN)/python -m bench.scaling

soak: $(READY)  ## 2,000 steps of a tiny model: memory, files, threads, processes, about 2 minutes
	$(BIN)/python -m bench.soak

pagespeed: $(READY)  ## `whet view` with 100,000 rollouts in Chromium, about a minute
	$(BIN)/python -m bench.view results/view.json

screenshots: $(READY)  ## the pictures of the tour, of the run that `make train` made
	$(BIN)/python -m bench.tour

audits: $(READY)  ## every verifier on answers known to be right or wrong, about 2 minutes; into docs/verifiers.md
	$(BIN)/python -m bench.audits

docs: $(READY)  ## build the documentation site into site/
	$(BIN)/mkdocs build --strict

serve: $(READY)  ## the documentation site on this machine
	$(BIN)/mkdocs serve

clean:  ## remove the environment and what was built (never runs/)
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
