"""One module for each source: a class `Served`, a local server that speaks the platform's protocol."""

from __future__ import annotations

import importlib
import pkgutil

from tests.streams.feeds.contract import Platform


def all_platforms() -> list[type[Platform]]:
    """Returns the class `Served` of each module in this folder."""
    names = [found.name for found in pkgutil.iter_modules(__path__) if found.name != "web"]
    return [importlib.import_module(f"{__name__}.{name}").Served for name in sorted(names)]
