"""Posts, votes, notes, corrections and entries of the audit log that hold the texts of `payloads.txt` in every field.

A field takes only so many characters. So some posts hold one text in each field, and others ("packs") hold many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kafka import KafkaProducer

from core.corrections import CORRECTION, PREFIX, SameName, SplitName
from core.events import (
    HEADERS,
    Author,
    DeadLetter,
    Extraction,
    ImageResult,
    Media,
    Region,
    Tweet,
    Vote,
)
from core.spelling import normalise
from desk.access.access import audit_of
from sinks.names.corrections import Corrections
from sinks.queue.queue import ReviewQueue
from sinks.table import Table
from streams import servers, topics
from streams.settings import Settings
from tests.desk.filled import disagree, extraction, mention

PAYLOADS = tuple((Path(__file__).parent / "payloads.txt").read_text().splitlines())
DAY = 18
"""Posts of one day. A list of names has at most twenty."""

NOTE, NAME = 500, 200
"""Longest packs, in characters: a note of a flag takes as many, and the review shows as many of an author's name."""


TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
"""The day on which the test began."""


def day_of(place: int) -> datetime:
    """Returns when the post at this place was written: some days ago, at noon."""
    return TODAY - timedelta(days=1 + place // DAY, hours=-12)


def packs(most: int = NOTE) -> list[tuple[str, ...]]:
    """Returns all texts, as many together as have `most` characters with a blank between them."""
    made: list[list[str]] = [[]]
    for payload in PAYLOADS:
        if sum(len(other) + 1 for other in made[-1]) + len(payload) > most:
            made.append([])
        made[-1].append(payload)
    return [tuple(pack) for pack in made]


def singles(host: str) -> Iterator[Extraction]:
    """Yields a post for each text. It asks about the text as ORG and about Paris, and is sure of the text as PER."""
    for place, payload in enumerate(PAYLOADS):
        text = f"{payload} in Paris, {payload}"
        tweet = Tweet(
            id=f"p{place}",
            text=text,
            created_at=day_of(place),
            received_at=day_of(place),
            author=Author(id=payload, name=payload),
            lang=payload[:16],
            media=(Media(url=f"http://{host}/{payload}", alt=payload),),
            source=payload[:64],
        )
        paris = len(payload) + 4
        found = [
            mention(text, 0, len(payload), "ORG", 0.6),
            mention(text, paris, paris + 5, "LOC", 0.6),
            mention(text, len(text) - len(payload), len(text), "PER", 0.97),
        ]
        image = ImageResult(status="failed", reason=payload, url=payload)
        yield extraction(tweet, found, context=payload, image=image, typicality=0.05)


def packed(host: str, kind: str, most: int, probability: float) -> Iterator[Extraction]:
    """Yields posts whose long fields hold many texts each. A last mention, of Paris, is uncertain in any case.

    `kind`: how their ids begin. They were received before the others, so people get them first.
    """
    for place, pack in enumerate(packs(most)):
        text, found = "", []
        for payload in pack:
            found.append(mention(text + payload, len(text), len(text) + len(payload), "MISC", probability))
            text += f"{payload}\n"
        text += "Paris"
        found.append(mention(text, len(text) - 5, len(text), "LOC", 0.45))
        whole, day = " ".join(pack), day_of(len(PAYLOADS) + 2 * DAY)
        tweet = Tweet(
            id=f"{kind}{place}",
            text=text,
            created_at=day,
            received_at=day,
            author=Author(id=whole[:128], name=whole),
            media=(Media(url=f"http://{host}/{whole}", alt=whole),),
            source=whole[:64],
        )
        regions = [Region(kind="text", label=payload, score=0.9, box=(0.1, 0.1, 0.6, 0.3)) for payload in pack]
        image = ImageResult(status="failed", reason=whole, regions=tuple(regions))
        yield extraction(tweet, found, context=whole, image=image)


async def dispute(settings: Settings) -> None:
    """Makes two people disagree about each pack, and flags it with a note that holds the pack."""
    queue, now = ReviewQueue(servers.redis(settings), settings.name("review:")), datetime.now(UTC)
    try:
        for place, pack in enumerate(packs()):
            claim = await queue.take(f"k{place}", "ana", 60)
            assert claim is not None
            task, kept = claim.task, claim.task.confident
            votes = (
                Vote(reviewer=PAYLOADS[place], decided_at=now, mentions=kept),
                Vote(reviewer=PAYLOADS[-1 - place], decided_at=now, mentions=()),
            )
            await queue.flags.add(claim, " ".join(pack))
            await disagree(queue, task, votes)
    finally:
        await queue.close()


def names() -> dict[str, list[str]]:
    """Returns the names that the index gives the texts, and the texts with each name."""
    made: dict[str, list[str]] = {}
    for payload in PAYLOADS:
        made.setdefault(normalise(payload), []).append(payload)
    return made


async def join(settings: Settings, of: str) -> None:
    """Says that all names are one."""
    table: Table[SameName | SplitName] = Table(
        servers.kafka(settings), settings.name(topics.DESK), CORRECTION, prefix=PREFIX
    )
    await table.start()
    try:
        corrections = Corrections(table)
        await asyncio.gather(*(corrections.join(name, of, name[:128]) for name in names()))
    finally:
        await table.close()


def die(settings: Settings, reasons: Sequence[tuple[str, str]]) -> None:
    """Sends a dead letter for each stage and reason."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for place, (stage, reason) in enumerate(reasons):
        letter = DeadLetter(topic="t", partition=0, offset=place, stage=stage, error="E", reason=reason)
        producer.send(settings.name(topics.DEAD), letter.model_dump_json().encode(), headers=HEADERS)
    producer.close(30)


def log(settings: Settings) -> None:
    """Writes an entry into the audit log for each text."""
    audit = audit_of(settings)
    for payload in PAYLOADS:
        what: dict[str, str | list[str]] = {payload[:40]: payload, "ids": [payload]}
        audit.write(payload, payload[:20], payload[:64], payload[:64], **what)
