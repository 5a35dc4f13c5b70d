"""How a benchmark is run by hand: its options, and what a person can mend in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from benchmarks.run import Wrong
from core.errors import UserError


def main(command: Callable[..., Any]) -> None:
    """Exit code 1 where a contender did not do the work, 2 where a person can mend it."""
    try:
        typer.run(command)
    except Wrong as error:
        sys.exit(f"benchmark failed: {error}")
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(2)
