# A newcomer needs two commands, `make demo` and `make test`. The other targets are steps of these, or upkeep.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
MNER := .venv/bin/mner
STAMP := .venv/.installed
COMPILE := $(UV) pip compile pyproject.toml --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --no-header --quiet

.PHONY: help install demo test check lint types pythons screenshots bench fuzz lock clean

help:            ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP)  ## install everything into .venv from the lock, and check the hashes

.uv/bin/uv:
	@echo "uv was not found: installing it into .uv/"
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv

$(STAMP): requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@test -x .venv/bin/python || $(UV) venv --quiet --python '>=3.11,<3.14' .venv
	$(UV) pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: install    ## run everything on real servers with example posts; KEEP=1 leaves it running
	@$(MNER) demo $(if $(KEEP),--keep)

test: check      ## run check, then every test on real servers; COV=1 measures coverage, and takes half as long again
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  $(if $(COV),--cov --cov-report=term:skip-covered) $(ARGS)

check: install lint types  ## run lint and types; needs no servers

lint: install    ## run ruff, and deptry, which finds imports of undeclared packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/deptry --no-ansi .

types: install   ## run mypy --strict over sources and tests
	.venv/bin/mypy

pythons: install ## run the unit tests on Python 3.12 and 3.13, if these are installed
	.ci/pythons $(ARGS)

screenshots: install  ## make the pictures in docs again: docs/review.svg, docs/look.png and docs/desk; needs Chromium
	.venv/bin/python -m examples.review_screenshot
	.venv/bin/python -m examples.look_screenshot
	.venv/bin/python -m examples.desk_screenshots

bench: install   ## measure the throughput of the extract agent and of a hand-written program
	.venv/bin/python -m benchmarks.throughput $(ARGS)

fuzz: install    ## send random posts, texts and answers of servers to every reader; ten minutes
	.venv/bin/python -m tests.fuzz $(ARGS)

lock:            ## resolve the dependencies again, and write both lock files
	$(COMPILE) --extra dev --upgrade --output-file requirements.lock
	$(COMPILE) --extra feeds --upgrade --constraint requirements.lock --output-file requirements-worker.lock

clean:           ## remove the environments and caches of this clone
	rm -rf .venv .venv-* .uv .mypy_cache .ruff_cache .pytest_cache .coverage build *.egg-info
