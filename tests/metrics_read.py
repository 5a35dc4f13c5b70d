"""Reads metrics as a scraper does."""

from __future__ import annotations

from prometheus_client import REGISTRY


def metric(name: str, **labels: str) -> float:
    """Returns a sample's value, or 0 if it does not exist yet. Counters end in `_total`."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
