"""The first records of a partition survive rebalances, also under a busy worker."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from streams import topics
from streams.agents.names import AgentName
from streams.settings import Settings
from tests.conftest import ROOT
from tests.families.kafka.topics_of import committed, ends, extracted, ids, send, until_all_committed
from tests.streams.conftest import Start

PARTITIONS = 128
ROUNDS = 8


def come_and_go(settings: Settings) -> list[int]:
    """Returns how many partitions the member had each time."""
    group, topic = settings.name(AgentName.EXTRACT.group), settings.name(topics.TWEETS)
    command = [sys.executable, "-m", "tests.families.kafka.restless_member", str(settings.kafka), group, topic]
    done = subprocess.run([*command, str(ROUNDS)], cwd=ROOT, check=True, timeout=240, stdout=subprocess.PIPE, text=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.timeout(300)
async def test_one_post_in_each_of_128_partitions_while_members_join_and_leave(bare: Settings, start: Start) -> None:
    settings = bare.changed(partitions=PARTITIONS, session_timeout_s=10.0)
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    worker = start(settings, module="tests.families.kafka.busy_worker", only=("extract",))

    members = asyncio.create_task(asyncio.to_thread(come_and_go, settings))
    await asyncio.to_thread(send, settings, range(PARTITIONS), rate=5)
    shares = await members
    assert len(shares) == ROUNDS
    assert all(0 < share < PARTITIONS for share in shares), "the partitions went from the worker to the member"
    await until_all_committed(settings, timeout_s=90)
    assert committed(settings) == ends(settings)
    lost = ids(range(PARTITIONS)) - set(extracted(settings))
    assert not lost, f"{len(lost)} of {PARTITIONS} lost with no lag: {sorted(lost)[:5]}"
    assert worker.code is None
