"""A worker reads posts of this family from Kafka. The servers are real; the model is a stub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams import topics
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.conftest import ROOT
from tests.streams.account import books, fed, rewind, until_caught_up
from tests.streams.stub_model import text

POSTS: list[dict[str, Any]] = [
    {"id": 1, "text": text(1), "media": None, "created_at": "Wed Oct 10 20:19:24 +0000 2018", "author": {"id": 7}},
    {"id": "2", "text": text(3), "edit": "yesterday"},  # an uncertain one
    {"id": "3", "text": " "},
    {"id": "4", "text": None, "media": ["http://127.0.0.1/1.jpg"]},
    {"id": "5", "text": text(3)},  # uncertain
    {"id": "5", "text": "", "edit": 1},
    {"id": "2", "text": "another post of another server"},
    {"id": "6", "text": 7},
]


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    settings = settings.changed(model_factory="tests.streams.stub_model:load", threshold=0.5)
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    process = WorkerProcess(settings, tmp_path / "worker.log", python_path=ROOT)
    yield process
    process.kill()


async def test_a_worker_keeps_what_it_can_tells_the_rest_and_a_replay_changes_nothing(
    worker: WorkerProcess, settings: Settings
) -> None:
    await asyncio.to_thread(fed, settings, [json.dumps(post).encode() for post in POSTS])
    for replays in range(2):
        worker.start()
        worker.ready()
        await until_caught_up(settings)
        await asyncio.to_thread(worker.stop)
        found = await books(settings)
        texts = {id: document["_source"]["text"] for id, document in found.documents.items()}
        assert texts == {"1": text(1), "2": text(3), "5": ""}
        assert found.documents["1"]["_source"]["created_at"] == "2018-10-10T20:19:24+00:00"
        assert found.documents["1"]["_source"]["author"] == {"id": "7"}
        assert found.documents["5"]["_source"]["mentions"] == []
        assert dict(found.tasks) == {"2": 1}
        letters = {(letter.stage, letter.key, letter.reason.partition(":")[0]) for letter in found.dead}
        assert letters == {("deliver", "2", "id"), ("decode", "6", "text")}
        assert replays or len(found.dead) == 2
        await asyncio.to_thread(rewind, settings, "extract", "deliver")
