"""Posts in a real index, for the tests of the search."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.events import Account, EntityType, Mention, Tweet
from sinks.index.document import Document, from_decision, from_extraction
from sinks.index.index import Index
from streams import servers
from streams.settings import Settings
from tests.sinks.values import MODEL_VERSION, decision, extraction, mention, task

Named = tuple[str, EntityType]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def post(
    post_id: str, text: str, *named: Named, days: float = 0, accounts: Sequence[Account] = (), **fields: Any
) -> Document:
    """Returns the document of a post by ana in English. `named`: its mentions. `days`: how long after noon it came."""
    values = {"created_at": NOON + timedelta(days=days), "author": {"id": "a-1", "name": "ana"}, "lang": "en"} | fields
    of = Tweet(id=post_id, text=text, **values)
    made = extraction(of, accounts=accounts)
    return from_extraction(made, [mention(words, kind, within=text) for words, kind in named])


def decided(post_id: str, text: str, *named: Named) -> Document:
    """Returns the document of a post that ana decided about. `Paris Hilton` is no question."""
    mentions: Sequence[Mention] = [mention(words, kind, within=text, source="human") for words, kind in named]
    return from_decision(decision(task(post_id, text=text), MODEL_VERSION * 1000, *mentions))


async def write(settings: Settings, *documents: Document) -> None:
    """Writes documents into the index of a desk. They can be found at once."""
    index = Index(servers.addresses(settings).elasticsearch, settings.name("mentions"))
    try:
        await index.prepare()
        outcomes = await index.write(documents)
        assert {outcome.kind for outcome in outcomes} <= {"written"}
        await index.refresh()
    finally:
        await index.close()


Fill = Callable[..., None]


@pytest.fixture
def fill(desk_settings: Settings) -> Fill:
    """Writes documents into the index of this test's desk."""
    asyncio.run(write(desk_settings))
    return lambda *documents: asyncio.run(write(desk_settings, *documents))


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
