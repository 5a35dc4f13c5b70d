"""Fifty reviewers settle one queue at once, and some vanish while they hold a task."""

from __future__ import annotations

import pytest

from benchmarks.claimers import Crowd
from streams.settings import Settings


@pytest.mark.parametrize("seed", [0, 1])
async def test_nothing_is_decided_twice_and_nothing_is_lost(settings: Settings, seed: int) -> None:
    crowd = Crowd(str(settings.redis), settings.name("review:"), claimers=50, vanish_percent=10, seed=seed)
    outcome = await crowd.run(1000)
    assert outcome.problems(1000) == []
    assert outcome.vanished > 50
    assert outcome.refused + outcome.late == outcome.vanished
    assert outcome.refused > 0
