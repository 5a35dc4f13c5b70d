"""Tokens that end while a client is connected. The broker cuts a connection whose token has ended (KIP-368)."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from core.events import Extraction
from local.stack import Stack
from review.decision_topic import DecisionTopic
from streams import servers as known
from streams import topics
from streams.feed import feed
from streams.producer import Producer
from streams.settings import Settings
from tests.secure.broker import USER, SecureKafka
from tests.secure.conftest import Put
from tests.sinks.values import decision, task
from tests.streams.account import held, tweets
from tests.streams.account import until as until_indexed
from tests.streams.conftest import Start, start

__all__ = ["start"]

pytestmark = pytest.mark.servers

LIFE_S = 2.0
COMMAND = f"""\
import base64, json, sys, time
with open(sys.argv[1], "a") as made:
    made.write("x")
parts = {{"alg": "none"}}, {{"sub": "{USER}", "iat": time.time(), "exp": time.time() + {LIFE_S}}}
print(".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".")
"""


class ShortTokens:
    """A command that prints tokens of a short life, and how often it ran."""

    def __init__(self, folder: Path) -> None:
        self._script, self._made = folder / "token.py", folder / "made"
        self._script.write_text(COMMAND)
        self._made.touch()

    @property
    def command(self) -> str:
        return f"{sys.executable} -I -S {self._script} {self._made}"

    @property
    def count(self) -> int:
        return self._made.stat().st_size


@pytest.fixture
def tokens(tmp_path: Path) -> ShortTokens:
    return ShortTokens(tmp_path)


def login(kafka: SecureKafka, tokens: ShortTokens) -> dict[str, str]:
    return {
        "KAFKA": kafka.address_of("TOKEN"),
        "KAFKA_SASL": "OAUTHBEARER",
        "KAFKA_TOKEN_COMMAND": tokens.command,
    }


@pytest.fixture
async def settings(kafka: SecureKafka, tokens: ShortTokens, put: Put) -> Settings:
    made = put(login(kafka, tokens))
    await asyncio.to_thread(topics.create, kafka.address, topics.plan(made))
    return made


async def test_a_reviewer_stays_connected(kafka: SecureKafka, tokens: ShortTokens, settings: Settings) -> None:
    """kafka-python logs in again on the same connection."""
    name = settings.name(topics.DECISIONS)
    topic = await asyncio.to_thread(DecisionTopic, known.kafka(settings), name)
    sent, before = 0, tokens.count
    while tokens.count < before + 3:
        await topic.publish(decision(task(str(sent)), 1000))
        sent += 1
    await topic.close()
    assert len(await asyncio.to_thread(held, kafka.address, name)) == sent


async def test_a_producer_of_a_worker_sends_each_record_once(
    kafka: SecureKafka, tokens: ShortTokens, settings: Settings
) -> None:
    """aiokafka cannot log in again, so the broker cuts its connections. It makes new ones."""
    name = settings.name(topics.EXTRACTIONS)
    sent, before = 0, tokens.count
    async with Producer(known.kafka(settings)) as producer:
        while tokens.count < before + 3:
            await producer.send(name, b"1", str(sent).encode())
            sent += 1
    found = await asyncio.to_thread(held, kafka.address, name)
    assert sorted(map(int, found)) == list(range(sent))


async def test_a_worker_outlives_its_tokens(
    servers: Stack, kafka: SecureKafka, tokens: ShortTokens, put: Put, start: Start
) -> None:
    stores = {name.upper(): servers.addresses[name] for name in ("elasticsearch", "redis")}
    stub = {"MODEL_FACTORY": "tests.streams.stub_model:load", "THRESHOLD": "0.5", "VISION_CHANNELS": "none"}
    settings = put(login(kafka, tokens) | stores | stub)
    await asyncio.to_thread(topics.create, kafka.address, topics.plan(settings))
    worker = start(settings)
    fed, before = 0, tokens.count
    while tokens.count < before + 4:
        posts = tweets(range(fed, fed + 10))
        fed += await asyncio.to_thread(feed, posts, kafka.address, settings.name(topics.TWEETS))
        await until_indexed(settings, fed.__eq__)
    assert await asyncio.to_thread(worker.stop) == 0
    assert await asyncio.to_thread(held, kafka.address, settings.name(topics.DEAD)) == []
    extractions = await asyncio.to_thread(held, kafka.address, settings.name(topics.EXTRACTIONS))
    read = Counter(Extraction.model_validate_json(value).tweet.id for value in extractions)
    assert read.keys() == {f"t{number}" for number in range(fed)}
