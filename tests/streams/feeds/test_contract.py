"""Every feed keeps the contract, whatever its platform does. `python -m tests.streams.feeds.seeds` tries more seeds."""

from __future__ import annotations

import pytest

from streams.settings import Settings
from tests.streams.feeds.contract import Platform, check
from tests.streams.feeds.platforms import all_platforms


@pytest.mark.parametrize("platform", all_platforms(), ids=lambda platform: platform.name)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_silent(platform: type[Platform], seed: int, settings: Settings) -> None:
    check(platform(seed), settings.changed(partitions=2))
