"""The permission of a training command: which posts it may use, by the terms of their sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams.settings import load
from streams.terms import load_sources

if TYPE_CHECKING:
    from rich.console import Console

    from model.training.permission import Permission


@contextmanager
def permitting(console: Console) -> Iterator[Permission]:
    """Yields what leaves out posts that may not train. At the end, the console says how many these were."""
    from core.text import printable
    from model.training.permission import Permission

    permission = Permission(load_sources(load()))
    yield permission
    if summary := permission.summary():
        console.print(printable(summary), style="yellow", markup=False)
