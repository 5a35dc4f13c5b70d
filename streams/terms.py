"""Reads the terms of the sources from the file that the settings name."""

from __future__ import annotations

from core.errors import naming
from core.terms import Sources, read_sources
from streams.settings import Settings


def load_sources(settings: Settings) -> Sources:
    """Reads the terms. Raises `UserError` naming the variable, the file, the source and the field."""
    with naming("MNER_SOURCES"):
        return read_sources(settings.sources)
