"""Ranks of uncertainty come from what the same version of the model has found here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.events import Mention, Tweet
from desk.review import ranks
from desk.review.ranks import Ranks, Variances
from local.server import free_ports
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import servers
from streams.settings import Settings
from tests.desk.filled import extraction, fill

VERSION = 1_750_000_000
SURE, UNSURE = 300, 100


def found(variance: float, probability: float) -> Mention:
    return Mention(
        start=0, end=5, text="Paris", type="LOC", probability=probability, aleatoric=variance, epistemic=variance / 10
    )


async def seed(settings: Settings, sure: int = SURE, unsure: int = UNSURE, version: int = VERSION) -> None:
    """Sure mentions have variances from 0 to 1, unsure ones from 1 to 2."""
    variances = [(n + 1) / sure for n in range(sure)] + [1 + (n + 1) / unsure for n in range(unsure)]
    await fill(
        settings,
        [
            extraction(
                Tweet(id=f"{version}-{place}", text=f"Paris {place}"),
                [found(variance, 0.99 if place < sure else 0.5)],
                model_version=version,
            )
            for place, variance in enumerate(variances)
        ],
    )


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Ranks]:
    addresses = servers.addresses(settings)
    index = Index(addresses.elasticsearch, settings.name("mentions"))
    queue = ReviewQueue(addresses.redis, settings.name("review:"))
    try:
        yield Ranks(index, queue)
    finally:
        await index.close()
        await queue.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "FIRST_S", 60.0)


async def test_a_rank_is_the_share_of_mentions_that_have_less(desk_settings: Settings) -> None:
    await seed(desk_settings)
    async with opened(desk_settings) as read:
        scale = await read.of(VERSION)
    assert scale is not None
    for kind, unit in (("aleatoric", 1.0), ("epistemic", 0.1)):
        measured = [scale[kind].rank(unit * variance) for variance in (0.0, 0.5, 1.0, 1.5, 3.0)]  # type: ignore[index]
        assert measured == pytest.approx([0.0, 0.375, 0.75, 0.875, 1.0], abs=0.02)


async def test_a_large_queue_is_read_in_part(desk_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "PAGES", 5)
    monkeypatch.setattr(ranks, "PAGE", 4)
    await seed(desk_settings)
    async with opened(desk_settings) as read:
        scale = await read.of(VERSION)
    assert scale is not None
    assert scale["aleatoric"].mentions == pytest.approx(SURE + UNSURE)
    assert scale["aleatoric"].rank(1.0) == pytest.approx(0.75, abs=0.02)


async def test_each_version_of_the_model_has_ranks_of_its_own(desk_settings: Settings) -> None:
    await seed(desk_settings)
    await seed(desk_settings, 10, 10, VERSION + 1)
    async with opened(desk_settings) as read:
        assert await read.of(VERSION) is not None
        assert await read.of(VERSION + 1) is None, "too few mentions are known"
        assert await read.of(VERSION + 2) is None


async def test_a_reading_is_kept_and_outlives_a_server(desk_settings: Settings) -> None:
    await seed(desk_settings)
    now = [0.0]
    async with opened(desk_settings) as read:
        read._clock = lambda: now[0]
        first = await read.of(VERSION)
        assert await read.of(VERSION) is first
        away = Index(f"http://127.0.0.1:{free_ports(1)[0]}", "mentions", timeout_s=1)
        read._index, now[0] = away, ranks.EVERY_S
        assert await read.of(VERSION) is first, "the old one serves while a new one is read"
        await read._running[VERSION]
        assert await read.of(VERSION) is first
        assert await read.of(VERSION + 1) is None
        await away.close()


def test_a_rank_counts_what_a_variance_stands_for() -> None:
    variances = Variances([(1.0, 3.0), (2.0, 1.0)])
    assert [variances.rank(value) for value in (0.5, 1.0, 1.5, 2.0, 9.0)] == [0.0, 0.0, 0.75, 0.75, 1.0]
