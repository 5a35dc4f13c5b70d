"""Every codec of Kafka is read, by the worker and by the commands, whoever compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from core.events import DeadLetter
from sinks.dead_letters import read
from streams import topics
from streams.settings import Settings
from tests.altered import alter
from tests.families.kafka.side_by_side import side_by_side
from tests.families.kafka.topics_of import post, send, until_all_committed, until_extracted
from tests.streams.conftest import Start

CODECS = ["gzip", "lz4", "snappy", "zstd"]
COUNT = 200


async def by_kafka_python(settings: Settings, codec: str, first: int) -> None:
    await asyncio.to_thread(send, settings, range(first, first + COUNT), compression_type=codec, linger_ms=20)


async def by_aiokafka(settings: Settings, codec: str, first: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, compression_type=codec, linger_ms=20) as producer:
        sent = [
            await producer.send(settings.name(topics.TWEETS), post(number), partition=number % settings.partitions)
            for number in range(first, first + COUNT)
        ]
        await asyncio.gather(*sent)


async def by_the_broker(settings: Settings, codec: str, first: int) -> None:
    alter(str(settings.kafka), settings.name(topics.TWEETS), {"compression.type": codec})
    await asyncio.to_thread(send, settings, range(first, first + COUNT), linger_ms=20)


@dataclass(frozen=True)
class Case:
    id: str
    compress: Callable[[Settings, str, int], Coroutine[Any, Any, None]]


CASES = [
    Case("by_kafka_python", by_kafka_python),
    Case("by_aiokafka", by_aiokafka),
    Case("by_the_broker", by_the_broker),
]


async def extract_all(posts: Settings, start: Start, case: Case) -> None:
    worker = start(posts, only=("extract",))
    for place, codec in enumerate(CODECS):
        await case.compress(posts, codec, place * COUNT)
    await until_extracted(posts, range(len(CODECS) * COUNT))
    await until_all_committed(posts)
    assert worker.code is None
    assert "Traceback" not in worker.output()


finished = side_by_side(extract_all, CASES, "finished")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_posts_of_every_codec_are_extracted(finished: Callable[[Case], None], case: Case) -> None:
    finished(case)


@pytest.mark.parametrize("codec", CODECS)
def test_the_commands_read_it(posts: Settings, codec: str) -> None:
    producer = KafkaProducer(bootstrap_servers=posts.kafka, compression_type=codec, linger_ms=20)
    letters = [
        DeadLetter(topic="tweets", partition=0, offset=number, stage="decode", error="Reject", reason="x", value="{}")
        for number in range(100)
    ]
    for letter in letters:
        producer.send(posts.name(topics.DEAD), letter.model_dump_json().encode(), partition=0)
    producer.close()
    assert posts.kafka is not None
    assert [one.letter for one in read(posts.kafka, posts.name(topics.DEAD))] == letters
