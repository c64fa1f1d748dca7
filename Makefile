# The first use of any target makes .venv and installs lacbook with all it needs into it.
PYTHON ?= python3
BIN := .venv/bin
# `make notebooks NOTEBOOKS=notebooks/02*.ipynb` executes these only.
NOTEBOOKS := notebooks/*.ipynb
# `make test` executes the notebooks that are quick enough, `make slow` the others.
QUICK_NOTEBOOKS := $(wildcard notebooks/0[0-3]_*.ipynb)
SLOW_NOTEBOOKS := $(filter-out $(QUICK_NOTEBOOKS), $(wildcard notebooks/*.ipynb))
# One thread a process: pytest runs a process a core, and thread pools of several processes get in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1
# Threads of torch that wait for each other sleep soon; by default they spin for so long that training beside other
# busy programs takes several times as long as its share of the machine would explain.
SHORT_SPIN := GOMP_SPINCOUNT=3000

.PHONY: help install demo test slow browser lab notebooks lint clean

help:
	@echo "make demo       train LAC on videos and watch it learn to align them (4 minutes)"
	@echo "make test       all tests and the quick notebooks"
	@echo "make slow       the tests and notebooks that take longer"
	@echo "make browser    sliders and live curves in a real browser (Chromium); screenshots in build/screenshots"
	@echo "make lab        the course, in JupyterLab"
	@echo "make notebooks  execute every notebook; store outputs, times and the README's map"
	@echo "make lint       ruff and mypy"
	@echo "make install    nothing but the installation, which every other target also does"
	@echo "make clean      remove what was built; runs/ stays"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "lacbook needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv; the first time this takes some minutes"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(SHORT_SPIN) $(BIN)/lacbook demo --out runs/demo

test: install
	$(ONE_THREAD) $(BIN)/pytest -n 2 --benchmark-disable -m "not slow and not browser" --nbmake tests $(QUICK_NOTEBOOKS)

# The notebooks one after the other, so that each has the machine to itself: their times follow.
slow: install
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist worksteal --benchmark-disable -m "slow and not browser" tests
	$(SHORT_SPIN) $(BIN)/pytest --nbmake $(SLOW_NOTEBOOKS)

browser: install
	$(SHORT_SPIN) LACBOOK_SCREENSHOTS=build/screenshots $(BIN)/pytest -m browser tests/browser

lab: install
	$(BIN)/jupyter lab --notebook-dir notebooks

notebooks: install
	$(BIN)/jupytext --quiet --sync notebooks/src/*.py
	$(BIN)/python tools/execute_notebooks.py --times docs/notebook_times.csv $(NOTEBOOKS)
	$(BIN)/python tools/course_map.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
