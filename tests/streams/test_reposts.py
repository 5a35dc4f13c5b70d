"""Reposts on real servers, with the stub model: one reading, one question, one decision, and a document for each."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Collection

from redis.asyncio import Redis

from local.server import free_ports
from review.decision_topic import DecisionTopic
from review.session import Session
from sinks.queue.values import Counts
from streams import topics
from streams.settings import Settings
from tests.streams.account import books, fed, held, replayed, sinks, until_caught_up
from tests.streams.conftest import Start

POST = "Gondwana galaxies everywhere tonight friends"  # five words: the stub is unsure of the first one
FOUR = {"1": POST, "2": f" {POST}  ", "3": f"{POST} https://t.co/x via @ada", "4": POST.replace(" ", "\n")}


def events(names: Collection[str]) -> list[bytes]:
    return [json.dumps({"id": name, "text": FOUR[name]}).encode() for name in names]


def metrics_at(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


async def marked(settings: Settings) -> dict[str, tuple[str, list[str]]]:
    """Returns, by post, who marked it in the index, and the marked texts."""
    found = await books(settings)
    sources = {name: document["_source"] for name, document in found.documents.items()}
    return {
        name: (source["source"], [source["text"][one["start"] : one["end"]] for one in source["mentions"]])
        for name, source in sources.items()
    }


async def test_reposts_are_read_and_asked_about_once(stubbed: Settings, start: Start) -> None:
    (port,) = free_ports(1)
    worker = start(stubbed.changed(metrics=f"127.0.0.1:{port}"))
    await asyncio.to_thread(fed, stubbed, events("123"))
    await until_caught_up(stubbed)
    topic = DecisionTopic(str(stubbed.kafka), stubbed.name(topics.DECISIONS))
    async with sinks(stubbed) as (_, queue):
        assert await queue.counts() == Counts(open=1, leased=0, decided=0, copies=2)
        session = Session(queue, topic, "ana")
        work = await session.next()
        assert work is not None
        assert work.copies == 2
        await session.settle(work.accept())
        await until_caught_up(stubbed, "decide")
        assert await marked(stubbed) == dict.fromkeys("123", ("human", ["Gondwana"]))

        await asyncio.to_thread(fed, stubbed, events("4"))
        await until_caught_up(stubbed, "extract", "deliver", "decide")
        assert await marked(stubbed) == dict.fromkeys("1234", ("human", ["Gondwana"]))
        assert await queue.counts() == Counts(open=0, leased=0, decided=4, copies=0)
        metrics = await asyncio.to_thread(metrics_at, port)
        assert "mner_predictions_reused_total 1.0" in metrics, "1 and 2 have the same words, 4 has other lines"
        assert 'mner_copies_total{outcome="settled"} 3.0' in metrics

        before = (await books(stubbed)).documents
        await asyncio.to_thread(worker.stop)
        redis = Redis.from_url(str(stubbed.redis))
        await redis.delete(*await redis.keys(f"{stubbed.name('review:')}*"))
        await redis.aclose()
        await replayed(stubbed, start, "deliver", "decide")
        assert await queue.counts() == Counts(open=0, leased=0, decided=4, copies=0)
        assert (await books(stubbed)).documents == before

        await session.take_back()
        await until_caught_up(stubbed, "decide")
        assert await marked(stubbed) == dict.fromkeys("1234", ("model", []))
        await session.end()
        assert await queue.counts() == Counts(open=1, leased=0, decided=0, copies=3)
    await topic.close()
    decisions = [
        json.loads(value) for value in await asyncio.to_thread(held, str(stubbed.kafka), stubbed.name(topics.DECISIONS))
    ]
    leader = work.task.tweet.id
    assert {one["task"]["tweet"]["id"] for one in decisions if one.get("copy_of") == leader} == set("1234") - {leader}
