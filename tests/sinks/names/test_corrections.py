"""What people say about names, kept in a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from core.corrections import CORRECTION, SameName, SplitName
from core.errors import UserError
from sinks.names.corrections import Corrections
from sinks.table import Table
from streams import topics
from streams.settings import Settings

DAY = datetime(2026, 11, 30, tzinfo=UTC)
Open = Callable[[datetime], Awaitable[Corrections]]


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Open]:
    """Opens the corrections as a process of its own would, whose clock stands."""
    await asyncio.to_thread(topics.create, str(settings.kafka), topics.plan(settings))
    async with AsyncExitStack() as stack:

        async def open_one(now: datetime) -> Corrections:
            table: Table[SameName | SplitName] = Table(str(settings.kafka), settings.name(topics.DESK), CORRECTION)
            stack.push_async_callback(table.close)
            await table.start()
            return Corrections(table, lambda: now)

        yield open_one


async def test_a_correction_holds_at_once_and_in_every_later_process(opened: Open) -> None:
    ours = await opened(DAY)
    joined = await ours.join("NASA", "National Aeronautics", by="ana")
    await ours.split("US", "US (country)", by="bob")
    assert ours.names.canonical("#nasa") == "national aeronautics"
    later = (await opened(DAY)).names
    assert later == ours.names
    assert later.canonical_of("US") == "us (country)"
    assert later.corrections["national aeronautics"] == (joined,)
    assert (joined.by, joined.at) == ("ana", DAY)


async def test_a_correction_can_be_taken_back_and_said_again_even_by_a_clock_that_is_behind(opened: Open) -> None:
    ours, behind = await opened(DAY), await opened(DAY - timedelta(hours=1))
    said = await ours.join("NASA", "National Aeronautics", by="ana")
    third = await opened(DAY - timedelta(hours=1))
    await third.withdraw(said.key, by="bob")
    assert third.names.canonical("nasa") == "nasa"
    await third.withdraw(said.key, by="bob")
    await third.withdraw("name/same/never said", by="bob")
    again = await third.join("national aeronautics", "#NASA", by="eve")
    assert again.at > said.at
    for _ in range(300):
        if ours.names == behind.names == third.names:
            break
        await asyncio.sleep(0.02)
    assert ours.names.canonical("National Aeronautics") == behind.names.canonical("National Aeronautics") == "nasa"


async def test_names_are_resolved_only_when_something_changed(opened: Open) -> None:
    ours = await opened(DAY)
    before = ours.names
    assert ours.names is before
    await ours.join("a", "b", by="ana")
    assert ours.names is not before


async def test_a_correction_that_says_nothing_is_refused_with_its_reason(opened: Open) -> None:
    ours = await opened(DAY)
    with pytest.raises(UserError, match="'#nasa' and 'NASA' are one name already"):
        await ours.join("#nasa", "NASA", by="ana")
    with pytest.raises(UserError, match="by: String should have at least 1 character"):
        await ours.split("US", "US (country)", by="")
