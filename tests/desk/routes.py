"""Walks over all routes of the application."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from starlette.routing import BaseRoute


def walk(found: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields path and route of each route, also of included routers."""
    for route in found:
        inner: Any = route
        if hasattr(inner, "original_router"):
            yield from walk(inner.original_router.routes, prefix + inner.include_context.prefix)
        else:
            yield prefix + inner.path, inner
