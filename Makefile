# Every target does its own set-up in .venv; nothing is needed but Python 3.11+ and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP = .venv/bin/python -m pip --disable-pip-version-check
PYTEST_WORKERS ?= 2
PYTEST = .venv/bin/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal --durations 10

.PHONY: help install study test test-all train docs lint mutants mutants-all soak faults ranges calibration bench-study bench-box bench-samplers bench-cost bench-estimators bench-train bench-returns bench-offline leaderboard torch seeds lock clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  %-18s %s\n", $$1, $$2}'

install: .venv/all.done  ## everything that this project can do, in .venv

study: .venv/core.done  ## the paper's study: runs/study-paper/report.html
	@echo "Running the study (a minute or two on 2 cores) ..."
	.venv/bin/steinflow study

test: .venv/all.done  ## the tests but the slow ones
	@echo "Running the tests (seven minutes on 2 cores, eleven the first time) ..."
	$(PYTEST) -m "not slow"

test-all: test  ## every test
	@echo "Running the slow tests (fourteen minutes on 2 cores the first time) ..."
	$(PYTEST) -m slow

train: .venv/all.done  ## train, evaluate and film Pendulum-v1 (a few minutes)
	.venv/bin/steinflow train Pendulum-v1 --steps 10000 --eval-every 2500 --out runs/pendulum
	.venv/bin/steinflow eval runs/pendulum --episodes 30
	.venv/bin/steinflow play runs/pendulum

docs: .venv/all.done  ## the documentation: build/docs/index.html, strict
	.venv/bin/python docs/site/build.py

lint: .venv/all.done  ## style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

mutants: .venv/all.done  ## one-token mutations of the core, each must be killed
	.venv/bin/python -m tools.mutants

mutants-all: .venv/all.done build/cosmic-ray/done  ## three hundred mutants of every file that computes (hours)
	PYTHONPATH=build/cosmic-ray .venv/bin/python -m tools.mutants_all

build/cosmic-ray/done:  # apart: what it brings along is nothing that we test with
	$(PIP) install -q --target build/cosmic-ray cosmic-ray==8.7.0
	@touch $@

soak: .venv/all.done  ## 20,000 examples of the property tests, and the truth by another way (ten minutes)
	.venv/bin/python -m tools.soak

faults: .venv/all.done  ## two hundred random faults over study, train, sweep and export (root; half an hour)
	.venv/bin/python -m tools.faults

ranges: .venv/all.done  ## the wheel at both ends of the dependency range, and with each extra alone (several GB)
	.venv/bin/python -m tools.ranges

calibration: .venv/all.done  ## a thousand reduced studies: do intervals cover?
	.venv/bin/python benchmarks/calibration.py

bench-study: .venv/all.done  ## the study against a plain NumPy version
	.venv/bin/python benchmarks/bench_study.py

bench-box: .venv/all.done  ## bias on boxes
	.venv/bin/python benchmarks/box_bias.py

bench-samplers: .venv/all.done  ## samplers from exact scores, over their steps (minutes)
	.venv/bin/python benchmarks/samplers.py

bench-cost: .venv/all.done  ## auto beside the bare critic
	.venv/bin/python benchmarks/cost.py

bench-estimators: .venv/all.done  ## what each part of auto is worth
	.venv/bin/python benchmarks/estimators.py

.venv-sbx/done:
	@echo "Installing SBX's SAC apart: several GB ..."
	$(PYTHON) -m venv .venv-sbx
	.venv-sbx/bin/pip install -q --disable-pip-version-check sbx-rl "gymnasium[mujoco]" "mujoco<4"
	@touch $@

bench-train: .venv/all.done .venv-sbx/done  ## an update beside SBX's SAC (4 minutes)
	.venv/bin/python benchmarks/train_speed.py

bench-returns: .venv/all.done .venv-sbx/done  ## returns beside SBX's CrossQ and published ones (hours; goes on)
	.venv/bin/python benchmarks/returns.py --agents default --steps 100000 --seeds 0 1 2 \
		--tasks HalfCheetah-v4 Hopper-v4 Walker2d-v4 Ant-v4 Humanoid-v4
	.venv/bin/python benchmarks/returns.py --agents sbx-crossq-256 --steps 50000 --seeds 0 1 \
		--tasks HalfCheetah-v4 Hopper-v4 Walker2d-v4

bench-offline: .venv/all.done  ## what each objective learns from recorded data (hours; goes on)
	.venv/bin/python benchmarks/offline.py

leaderboard: .venv/core.done  ## every published method and auto, at equal evaluations and at equal time
	.venv/bin/steinflow study --preset leaderboard --out runs/leaderboard
	.venv/bin/python benchmarks/keep_leaderboard.py

torch: .venv/all.done  ## the PyTorch blocks of docs/diagnosis.md and docs/pytorch.md, in an environment of their own
	@echo "Installing PyTorch apart: several GB ..."
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/pip install -q --disable-pip-version-check -e '.[study]' torch
	.venv-torch/bin/python -m tools.torch_page

seeds: .venv/all.done  ## the verdicts over seeds 0-9
	.venv/bin/python benchmarks/claim_seeds.py

.venv/bin/python:
	@echo "Making .venv with $(PYTHON) ..."
	@$(PYTHON) -c 'import sys; sys.exit("steinflow needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

# requirements-core.lock is the extra study, without the agent and the tools.
.venv/core.done: requirements-core.lock pyproject.toml | .venv/bin/python
	@echo "Installing what the study needs: downloads 225 MB, 930 MB on disk, 1-3 minutes ..."
	$(PIP) install -q -r requirements-core.lock
	$(PIP) install -q --no-deps -e .
	@touch $@

.venv/all.done: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing everything for the tests: downloads 570 MB, 2 GB on disk, 2-5 minutes ..."
	$(PIP) install -q -r requirements.lock
	$(PIP) install -q --no-deps -e .
	@touch $@ .venv/core.done

lock: .venv/all.done  ## the two lock files, without host names
	.venv/bin/python -m pip install -q uv
	.venv/bin/uv pip compile pyproject.toml --universal -p 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --all-extras -o requirements.lock
	.venv/bin/uv pip compile pyproject.toml --universal -p 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --extra study -o requirements-core.lock

clean:  ## remove what the other targets made
	rm -rf .venv build dist runs .mypy_cache .ruff_cache
