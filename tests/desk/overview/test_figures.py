"""The overview shows each figure with its picture and the numbers behind it, as index, queue and topics hold them."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from core.events import HEADERS, DeadLetter, ImageResult, Tweet
from model.checkpoint import describe
from sinks.index.document import Document, from_decision
from sinks.index.index import Index
from streams import servers, topics
from streams.agents.names import AgentName
from streams.settings import CHECKPOINT, Settings
from tests.desk.filled import extraction, fill, mention
from tests.desk.overview.test_page import TEXT, settled

SENT, READ = 30, 10
IMAGES = (
    *(ImageResult(status="ok"), ImageResult(status="ok"), ImageResult()),
    *(ImageResult(status="failed", reason="not_found: HTTP 404"), ImageResult(status="failed", reason="timeout: 5 s")),
    ImageResult(status="failed", reason="not_found: HTTP 410"),
)


def section(page: str, name: str) -> str:
    """Returns the markup of a section, in one line."""
    found = re.search(f'<section[^>]* aria-labelledby="{name}">(.*?)</section>', page, re.DOTALL)
    assert found, name
    return " ".join(found[1].split())


def row(*cells: str) -> str:
    """Returns a row of the numbers behind a picture: a name, and figures."""
    return f"<tr><td>{cells[0]}</td>" + "".join(f'<td class="figure">{cell}</td>' for cell in cells[1:]) + "</tr>"


def outcome(name: str, count: int) -> str:
    """Returns a pattern for a bar with its name and count."""
    return rf'<li><span>{name}</span> ?<svg.*?</svg> ?<span class="figure soft">{count}</span></li>'


async def write(settings: Settings, *documents: Document) -> None:
    index = Index(servers.elasticsearch(settings), settings.name("mentions"))
    await index.write(documents)
    await index.refresh()
    await index.close()


def copy(document: Document, post: str, **fields: object) -> Document:
    """Returns the document as one of another post, with these fields."""
    return replace(document, id=post, body=document.body | {"id": post} | fields)


async def get(desk: str) -> str:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(desk)
    assert answer.status_code == 200
    return answer.text


async def test_precision_and_decisions(desk: str, desk_settings: Settings) -> None:
    await fill(desk_settings, [])
    decision = from_decision(settled())
    (verdict,) = decision.body["verdicts"]
    trained = datetime.fromtimestamp(describe(CHECKPOINT).model_version, UTC)
    old = copy(decision, "old", decided_at=(trained - timedelta(days=1)).isoformat())
    actions = ["accept"] * 3 + ["reject"] * 7
    checks = [
        copy(decision, f"check{number}", verdicts=[verdict | {"is_audit": True, "action": action}])
        for number, action in enumerate(actions)
    ]
    await write(desk_settings, decision, old, *checks)
    page = await get(desk)

    promise = section(page, "p-promise")
    assert "at least <strong>90%</strong> of the confident mentions are right" in promise
    assert '<span class="verdict broken">broken</span>' in promise
    checked = promise[promise.index("<span>spot checks</span>") :]
    checked = checked[: checked.index("</div>")]
    assert '<line class="goal" x1="90.0"' in checked
    assert re.search(r'class="whisker" x1="10\.78" y1="10" x2="60\.32"', checked)  # Wilson's interval of 3 in 10
    assert '<line class="dot" x1="30.0"' in checked
    assert '30% <span class="soft small">of 10</span>' in checked
    assert row("spot checks", "3", "10", "30.0%") in promise
    assert "<span>bluesky</span>" in promise
    for name in ("PER", "bluesky"):
        assert row(name, "2", "2", "100.0%") in promise

    told = section(page, "p-decisions")
    assert '<strong class="big figure">12</strong> posts decided, <strong class="figure">11</strong>' in told
    assert f"since the model version of {trained:%Y-%m-%d}" in told
    assert row("rita", "5", "7", "0") in told


async def test_images_the_timeline_and_the_oldest_task(desk: str, desk_settings: Settings) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(hours=3, minutes=5, seconds=20), *[timedelta(minutes=2)] * (len(IMAGES) - 1)]
    posts = [
        extraction(
            Tweet(id=str(number), text=TEXT, source="bluesky", received_at=now - age),
            [mention(TEXT, 0, 12, "PER", 0.5 if number < 2 else 0.97)],
            image=image,
        )
        for number, (image, age) in enumerate(zip(IMAGES, ages, strict=True))
    ]
    await fill(desk_settings, posts)
    page = await get(desk)

    assert re.search(r'the oldest waits</span> <span class="figure" title="[^"]+ UTC">3 h 5 min<', page)
    images = section(page, "p-images")
    for name, count in (("read", 2), ("no image", 1), ("failed", 3), ("not_found", 2), ("timeout", 1)):
        assert re.search(outcome(name, count), images), (name, images)
    hours = section(page, "p-posts")
    counts = [int(count) for count in re.findall(r'<tr><td>[^<]+</td><td class="figure">(\d+)</td></tr>', hours)]
    assert (len(counts), sum(counts)) == (24, len(posts))
    assert counts[-1] + counts[-2] == len(posts) - 1
    assert counts[-4] + counts[-5] == 1
    titles = [int(count) for count in re.findall(r"<title>[^<]+: (\d+)</title>", hours)]
    assert titles == counts


async def test_pace_lag_and_dead_letters(desk: str, desk_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.overview.kafka_watch.EVERY_S", 0.3)
    await fill(desk_settings, [])
    tweets = TopicPartition(desk_settings.name(topics.TWEETS), 0)
    consumer = KafkaConsumer(
        bootstrap_servers=desk_settings.kafka, group_id=desk_settings.name(AgentName.EXTRACT.group)
    )
    producer = KafkaProducer(bootstrap_servers=desk_settings.kafka)
    consumer.assign([tweets])

    def read(offset: int) -> None:
        consumer.commit({tweets: OffsetAndMetadata(offset, "", -1)})

    letters = [("extract", "no id"), ("extract", "no id"), ("deliver", "too large")]
    try:
        read(0)
        async with asyncio.timeout(60):
            while "extract</span> <span" not in section(await get(desk), "s-lag"):
                await asyncio.sleep(0.1)
            for _ in range(SENT):
                producer.send(tweets.topic, b"{}", headers=HEADERS)
            for place, (stage, reason) in enumerate(letters):
                letter = DeadLetter(topic="t", partition=0, offset=place, stage=stage, error="E", reason=reason)
                producer.send(desk_settings.name(topics.DEAD), letter.model_dump_json().encode(), headers=HEADERS)
            producer.flush(10)
            read(READ)
            while "in deliver" not in (page := await get(desk)) or f">{SENT - READ}<" not in section(page, "s-lag"):
                await asyncio.sleep(0.2)
    finally:
        producer.close()
        consumer.close(autocommit=False)

    lag = section(page, "s-lag")
    assert f"<strong>{SENT - READ}</strong>" in lag
    assert f'<span>extract</span> <span class="figure">{SENT - READ} · <em>no worker</em></span>' in lag
    flow = section(page, "s-flow")
    assert re.search(r"<strong>[\d.]+</strong> <span[^>]*>[\d.]+ read by the model", flow)
    dead = section(page, "p-dead")
    assert re.search(outcome('no id <span class="soft">in extract</span>', 2), dead)
    assert re.search(outcome('too large <span class="soft">in deliver</span>', 1), dead)
