"""A deployment in which nothing is wrong, on servers that the tests of a module may change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from local.stack import Stack
from sinks.index.index import Index
from sinks.index.subjects import ALIAS, Subjects
from streams import topics
from streams.settings import Settings
from tests.conftest import settings_for
from tests.streams.conftest import start

__all__ = ["start"]


@pytest.fixture
def deployment(own_servers: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a deployment with topics and index, also as the only MNER_* variables of the environment."""
    settings = settings_for(own_servers.addresses, tmp_path / "home").changed(in_flight=8)
    monkeypatch.chdir(tmp_path)  # away from the .env of the repository
    for name in [name for name in os.environ if name.startswith("MNER_")]:
        monkeypatch.delenv(name)
    for name in ("kafka", "elasticsearch", "redis", "prefix", "home", "in_flight"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    topics.create(str(settings.kafka), topics.plan(settings))
    asyncio.run(prepare(settings))
    yield settings
    with Elasticsearch(str(settings.elasticsearch)) as client:  # an index without a template makes the cluster yellow
        for index in client.indices.get(index=f"{settings.prefix}*"):
            client.indices.delete(index=index)


async def prepare(settings: Settings) -> None:
    for alias in (Index, Subjects):
        index = alias(str(settings.elasticsearch), settings.name("mentions" if alias is Index else ALIAS))
        await index.prepare()
        await index.close()
