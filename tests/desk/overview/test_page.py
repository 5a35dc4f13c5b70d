"""The overview shows what index, queue and topics hold. A server that is away costs its own figures only."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from kafka import KafkaProducer

from core.events import HEADERS, Decision, Tweet
from desk.overview.figures import Promise
from local.server import free_ports
from model.checkpoint import describe
from review import decisions
from review.work import begin
from sinks.index.document import from_decision
from sinks.index.index import Index
from sinks.share import Share
from streams import servers, topics
from streams.routing import route
from streams.settings import CHECKPOINT, Settings
from tests.desk.conftest import served
from tests.desk.filled import answer, extraction, fill, mention

TEXT = "Ada Lovelace saw Lisbon"


def settled() -> Decision:
    """Returns a decision: a person accepts Ada Lovelace."""
    now = datetime.now(UTC)
    tweet = Tweet(id="decided", text=TEXT, source="bluesky", received_at=now)
    version = describe(CHECKPOINT).model_version
    task = route(extraction(tweet, [mention(TEXT, 0, 12, "PER", 0.6)], model_version=version)).task
    assert task is not None
    return decisions.settle(begin(task).accept(), "rita", int(now.timestamp() * 1000))


async def test_the_overview_shows_what_the_stores_hold(desk: str, desk_settings: Settings) -> None:
    now = datetime.now(UTC)
    posts = [
        extraction(
            Tweet(id=str(number), text=TEXT, source="bluesky", received_at=now - timedelta(minutes=number)),
            [mention(TEXT, 0, 12, "PER", 0.97), mention(TEXT, 17, 23, "LOC", 0.5 if number < 2 else 0.95)],
            typicality=0.05 if number == 0 else 0.5,
        )
        for number in range(4)
    ]
    await fill(desk_settings, posts)
    index = Index(servers.elasticsearch(desk_settings), desk_settings.name("mentions"))
    await index.write([from_decision(settled())])
    await index.refresh()
    await index.close()
    producer = KafkaProducer(bootstrap_servers=desk_settings.kafka)
    producer.send(desk_settings.name(topics.TWEETS), b"{}", headers=HEADERS).get(10)
    producer.close()

    async with httpx.AsyncClient(timeout=30) as client:
        figures = " ".join((await client.get(desk)).text.split())
    assert "<strong>2</strong>" in figures  # waiting
    assert "<strong>60%</strong>" in figures  # 3 of 5 posts went to people
    assert "3 of 5 posts in the index" in figures
    assert '<td>rita</td><td class="figure">1</td>' in figures
    assert 'title="1 of 4">25%' in figures
    assert "<tr><td>PER</td>" in figures


@pytest.mark.parametrize("server", ["kafka", "elasticsearch", "redis"])
async def test_a_server_that_is_away_costs_its_own_figures(desk_settings: Settings, server: str) -> None:
    await fill(desk_settings, [])
    scheme = {"kafka": "", "elasticsearch": "http://", "redis": "redis://"}[server]
    settings = desk_settings.changed(**{server: f"{scheme}127.0.0.1:{free_ports(1)[0]}"})
    with served(settings) as address:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(address)
            while "reading…" in answer.text:
                answer = await client.get(address)
    assert answer.status_code == 200
    named = {"kafka": "Kafka:", "elasticsearch": "Elasticsearch:", "redis": "Redis:"}
    assert {name for name, words in named.items() if words in answer.text} == {server}
    assert ("no posts yet" in answer.text) == (server == "kafka")  # what is not known is not said


@pytest.mark.parametrize(
    ("right", "of", "verdict"), [(0, 0, "open"), (9, 10, "open"), (970, 1000, "holds"), (800, 1000, "broken")]
)
def test_the_promise_is_judged_by_its_interval(right: int, of: int, verdict: str) -> None:
    assert Promise(0.9, Share(right, of)).verdict == verdict


async def test_the_overview_shows_the_thresholds_that_answers_moved(desk: str, desk_settings: Settings) -> None:
    await fill(desk_settings, [])
    await answer(desk_settings, {"bluesky": "+" * 60 + "-", "rss:news": "-" * 12})
    async with asyncio.timeout(30), httpx.AsyncClient(timeout=30) as client:
        while "rss:news" not in (page := " ".join((await client.get(desk)).text.split())):
            await asyncio.sleep(0.2)
    assert 'all to people <span class="soft small">12 answers</span>' in page
    shared = re.search(r"<td>all sources</td><td[^>]*>([\d.]+)</td><td[^>]*>60</td><td[^>]*>73</td>", page)
    assert shared
    assert float(shared[1]) != describe(CHECKPOINT).threshold
    assert "MNER_THRESHOLD" not in page


async def test_a_threshold_of_the_settings_is_named_as_fixed(desk_settings: Settings) -> None:
    await fill(desk_settings, [])
    with served(desk_settings.changed(threshold=0.625)) as address:
        async with httpx.AsyncClient(timeout=30) as client:
            page = (await client.get(address)).text
    assert 'fixes the threshold at <strong class="figure">0.625</strong>' in page
