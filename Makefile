# A newcomer needs two commands, `make demo` and `make test`. Every other target is a step of them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
MNER := .venv/bin/mner
STAMP := .venv/.installed
COMPILE := $(UV) pip compile pyproject.toml --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --no-header --quiet

.PHONY: help install demo test check lint types pythons screenshots bench lock clean

help:            ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP)  ## install everything into .venv from the lock, with its hashes

.uv/bin/uv:
	@echo "uv was not found: installing it into .uv/"
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv

$(STAMP): requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@test -x .venv/bin/python || $(UV) venv --quiet --python '>=3.11,<3.14' .venv
	$(UV) pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: install    ## real servers, example posts, live display, results; KEEP=1 leaves them running
	@$(MNER) demo $(if $(KEEP),--keep)

test: check      ## check, then every test on real servers, then a coverage figure
	.venv/bin/python -m pytest --cov --cov-report=term:skip-covered $(ARGS)

check: install lint types  ## lint and types; needs no servers

lint: install    ## ruff, and deptry: every imported package is declared
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/deptry --no-ansi .

types: install   ## mypy --strict over sources and tests
	.venv/bin/mypy

pythons: install ## the unit tests on Python 3.12 and 3.13, where they are installed
	.ci/pythons $(ARGS)

screenshots: install  ## docs/review.svg and docs/look.png anew; needs Chromium
	.venv/bin/python -m examples.review_screenshot
	.venv/bin/python -m examples.look_screenshot

bench: install   ## throughput of the extract agent beside a hand-written program
	.venv/bin/python -m benchmarks.throughput $(ARGS)

lock:            ## resolve both locks again: names, versions, hashes
	$(COMPILE) --extra dev --upgrade --output-file requirements.lock
	$(COMPILE) --upgrade --constraint requirements.lock --output-file requirements-worker.lock

clean:           ## remove the environments and caches of this clone
	rm -rf .venv .venv-* .uv .mypy_cache .ruff_cache .pytest_cache .coverage build *.egg-info
