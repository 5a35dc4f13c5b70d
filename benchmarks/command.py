"""Runs a benchmark's command, and shows an error that the user can fix in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from benchmarks.run import Wrong
from core.errors import UserError


def main(command: Callable[..., Any]) -> None:
    """Exits with code 1 if a contender did wrong work, and with code 2 on an error that the user can fix."""
    try:
        typer.run(command)
    except Wrong as error:
        sys.exit(f"benchmark failed: {error}")
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        sys.exit(2)
