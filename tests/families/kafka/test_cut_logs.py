"""A log that lost its end, as after an unclean election or from a restored volume, and has grown again or not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from kafka.admin import ConfigResource

from local.stack import Stack
from streams import topics
from streams.settings import Settings
from tests.conftest import settings_for
from tests.families.kafka.topics_of import admin, send, until_all_committed, until_extracted
from tests.streams.conftest import Start

KEPT, LOST = 40, 40


@pytest.fixture
def own_posts(own_servers: Stack, tmp_path: Path) -> Settings:
    settings = settings_for(own_servers.addresses, tmp_path).changed(
        model_factory="tests.streams.stub_model:load", batch={"tweets": 32}, threshold=0.5
    )
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    return settings


@pytest.mark.timeout(240)
@pytest.mark.parametrize("running", [pytest.param(False, id="no worker"), pytest.param(True, id="running")])
@pytest.mark.parametrize("fed", [pytest.param(8, id="still short"), pytest.param(400, id="grown again")])
@pytest.mark.parametrize("stamped", ["LogAppendTime", "CreateTime"])
async def test_what_was_appended_after_the_cut_is_extracted(
    own_servers: Stack, own_posts: Settings, start: Start, tmp_path: Path, running: bool, fed: int, stamped: str
) -> None:
    if (stamped, fed) == ("CreateTime", 400):
        pytest.skip("without the broker's time, a log that was cut and has grown again looks like any other")
    settings = own_posts
    with admin(settings) as client:
        resource = ConfigResource("TOPIC", settings.name(topics.TWEETS), {"message.timestamp.type": stamped})
        client.alter_configs([resource])
    await asyncio.to_thread(send, settings, range(KEPT))
    kept = tmp_path / "kept"
    await asyncio.to_thread(copy, own_servers, settings, kept)
    worker = start(settings, only=("extract",))
    await asyncio.to_thread(send, settings, range(KEPT, KEPT + LOST))
    await until_all_committed(settings)
    if not running:
        await asyncio.to_thread(worker.stop)
    await asyncio.to_thread(restore, own_servers, settings, kept)
    new = range(KEPT + LOST, KEPT + LOST + fed)
    await asyncio.to_thread(send, settings, new)
    if not running:
        worker = start(settings, only=("extract",))
    await until_extracted(settings, new, 90)
    await until_all_committed(settings, 60)
    assert worker.code is None
    assert "read again" in worker.output()


def folders(stack: Stack, settings: Settings) -> list[Path]:
    return sorted((stack.kafka.folder / "data").glob(f"{settings.name(topics.TWEETS)}-*"))


def copy(stack: Stack, settings: Settings, kept: Path) -> None:
    for folder in folders(stack, settings):
        shutil.copytree(folder, kept / folder.name, ignore=shutil.ignore_patterns("*.index", "*.timeindex"))


def restore(stack: Stack, settings: Settings, kept: Path) -> None:
    """Kafka makes the indexes anew, which are not among the kept files."""
    stack.kafka.stop()
    for folder in folders(stack, settings):
        shutil.rmtree(folder)
        shutil.copytree(kept / folder.name, folder)
    stack.kafka.start()
    stack.kafka.ready()
