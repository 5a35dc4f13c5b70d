# Two commands for a newcomer: `make demo` and `make test`. Everything else is a step of them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
MNER := .venv/bin/mner
STAMP := .venv/.installed

.PHONY: help install demo test lint types bench lock clean

help:            ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP)  ## .venv with the command `mner`, from the lock with its hashes

.uv/bin/uv:
	@echo "uv is not here: getting it into .uv/"
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv

$(STAMP): requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@test -x .venv/bin/python || $(UV) venv --quiet --python '>=3.11,<3.14' .venv
	$(UV) pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: install    ## real servers, example tweets, live display, results; KEEP=1 leaves it running
	@$(MNER) demo $(if $(KEEP),--keep)

test: install lint types  ## lint, types, every test, on real servers
	.venv/bin/python -m pytest $(ARGS)

lint: install    ## ruff
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: install   ## mypy --strict on the packages
	.venv/bin/mypy

bench: install   ## throughput of extract beside a hand-written program
	.venv/bin/python -m benchmarks.throughput $(ARGS)

lock:            ## resolve again: names, versions, hashes
	$(UV) pip compile pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.lock

clean:           ## the environment and caches of this clone
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
