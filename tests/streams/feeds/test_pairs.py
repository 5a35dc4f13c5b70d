"""Every adapter makes of each payload in `pairs/` what stands beside it, and never raises.

A pair is a JSON file: `payload` (an object, or a text that is no JSON), `expected` (`posts`, `lifecycle`, `skipped`),
and `why` where that is not plain.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.feeds.adapters import bluesky
from streams.feeds.source import Adapted

PAIRS = Path(__file__).parent / "pairs"
Adapter = Callable[[Any], Adapted]


def _bluesky(payload: Any) -> Adapted:
    return bluesky.adapt(payload if isinstance(payload, str) else json.dumps(payload)).adapted


ADAPTERS: dict[str, Adapter] = {"bluesky": _bluesky}
"""Folder of pairs -> adapter."""


def shown(adapted: Adapted) -> dict[str, Any]:
    """Returns what an adapter made, as a pair writes it."""
    fields: dict[str, Any] = {
        "posts": [post.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for post in adapted.posts],
        "lifecycle": [json.loads(event.encoded()) for event in adapted.lifecycle],
        "skipped": adapted.skipped,
    }
    return {name: value for name, value in fields.items() if value}


@pytest.mark.parametrize("folder", sorted(ADAPTERS))
def test_a_payload_becomes_what_stands_beside_it(folder: str) -> None:
    files = sorted((PAIRS / folder).glob("*.json"))
    assert len(files) >= 25
    for file in files:
        pair = json.loads(file.read_text())
        assert shown(ADAPTERS[folder](pair["payload"])) == pair["expected"], file.name
