"""Records that a library loses are noticed, told, and read again."""

from __future__ import annotations

import asyncio

import pytest

from streams.settings import Settings
from tests.families.kafka.topics_of import extracted, ids, send, until_all_committed, until_extracted
from tests.streams.conftest import Start

COUNT = 200


@pytest.mark.parametrize(
    ("where", "says"),
    [
        pytest.param("fetch", "were about to be skipped", id="between aiokafka and us"),
        pytest.param("way", "never arrived", id="between us and the agent"),
        pytest.param("orphan", "a fetch that was given up took records", id="in a fetch that was given up"),
    ],
)
async def test_what_is_lost_on_the_way_is_read_again_and_told(
    posts: Settings, start: Start, monkeypatch: pytest.MonkeyPatch, where: str, says: str
) -> None:
    monkeypatch.setenv("LOSES", where)
    worker = start(posts, module="tests.families.kafka.losing_worker", only=("extract",))
    await asyncio.to_thread(send, posts, range(COUNT), rate=100)
    await until_extracted(posts, range(COUNT))
    await until_all_committed(posts)
    assert set(extracted(posts)) == ids(range(COUNT))
    assert says in worker.output()
    assert worker.code is None
