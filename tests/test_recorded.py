"""Reads what version 0.1.0 wrote: events, the review queue, the index and checkpoints.

`tests/recorded/0.1.0` holds what a worker, a reviewer and `mner train` of that version left behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from elasticsearch import Elasticsearch
from PIL import Image
from pydantic import BaseModel
from redis import Redis

from core.events import Action, DeadLetter, Decision, Extraction, Mention, Tweet
from core.lifecycle import Lifecycle
from demo.examples import EXAMPLES
from model.checkpoint import describe
from model.extractor import Extractor
from review.session import Session
from review.work import begin
from sinks.index.document import from_decision, from_extraction, marker
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams.settings import Settings
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "recorded" / "0.1.0"
RENAMED: dict[str, tuple[str, ...]] = {
    "possible": ("candidates", "is_candidate", "candidate_threshold"),
    "possible_threshold": ("candidate_threshold",),
    "doubts": ("reasons",),
    "release": ("model_version",),
    "id": ("post",),
}
"""Recorded field names that changed, with today's names. Which one applies depends on the value."""
TOLERANCE = 1e-5
"""Figures may differ by this much on another machine. On one machine, with one thread, they are equal."""
TOPICS: dict[str, tuple[type[BaseModel], int]] = {
    "tweets": (Tweet, 15),
    "extractions": (Extraction, 15),
    "decisions": (Decision, 6),
    "tombstones": (Lifecycle, 1),
    "tweets.dead": (DeadLetter, 4),
}
"""The class of each topic's values, and how many of them are readable."""


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDED / name).read_text(encoding="utf-8").splitlines()]


def values(topic: str) -> list[str]:
    """The values of a topic's records, as text. Records without a value are left out."""
    records = lines(f"topics/{topic}.jsonl")
    return [record["value"] for record in records if record["value"] is not None and "encoding" not in record]


def events(topic: str, kind: type[BaseModel]) -> list[Any]:
    return [kind.model_validate_json(value) for value in values(topic)]


def differences(raw: Any, event: Any, path: str = "") -> Iterator[str]:
    """Yields the path and both values wherever the event lacks something that was recorded."""
    if isinstance(raw, dict):
        held = event if isinstance(event, dict) else fields(event)
        for name, value in raw.items():
            today = next((known_name for known_name in (name, *RENAMED.get(name, ())) if known_name in held), None)
            if today is not None:
                yield from differences(value, held[today], f"{path}.{name}")
            elif value not in (None, [], {}):
                yield f"{path}.{name} is missing; recorded: {value!r}"
    elif isinstance(raw, list):
        if len(raw) != len(event):
            yield f"{path}: {len(raw)} recorded, {len(event)} read"
        for place, (recorded, read) in enumerate(zip(raw, event, strict=False)):
            yield from differences(recorded, read, f"{path}[{place}]")
    elif raw != event and not (isinstance(event, datetime) and event == datetime.fromisoformat(raw)):
        yield f"{path}: {raw!r} is read as {event!r}"


def fields(event: Any) -> dict[str, Any]:
    """Returns the fields of a pydantic value or a dataclass."""
    names = type(event).model_fields if isinstance(event, BaseModel) else type(event).__dataclass_fields__
    return {name: getattr(event, name) for name in names}


@pytest.mark.parametrize("topic", TOPICS)
def test_every_recorded_event_is_read_without_loss(topic: str) -> None:
    kind, number = TOPICS[topic]
    broken = {letter.value for letter in events("tweets.dead", DeadLetter)} if topic == "tweets" else set()
    whole = [value for value in values(topic) if value not in broken]
    assert len(whole) == number
    for value in whole:
        event = kind.model_validate_json(value)
        assert list(differences(json.loads(value), event)) == []
        assert kind.model_validate_json(event.model_dump_json()) == event, "what is written today can be read"


def test_the_recording_has_every_kind_of_decision_and_candidates() -> None:
    decisions = events("decisions", Decision)
    assert {verdict.action for each in decisions for verdict in each.verdicts} == set(get_args(Action))
    assert {each.kind for each in decisions} == {"settle", "retract"}
    assert sum('"possible":[' in value for value in values("extractions")) >= 3


@pytest.fixture
def recorded_queue(settings: Settings) -> ReviewQueue:
    """Restores the recorded keys in Redis. The queue's clock stands a minute before the recorded lease ends."""
    server, until = Redis.from_url(str(settings.redis), decode_responses=True), 0.0
    for entry in lines("queue.jsonl"):
        key, value = settings.name(entry["key"]), entry["value"]
        if entry["type"] == "hash":
            server.hset(key, mapping=value)
        elif entry["type"] == "zset":
            server.zadd(key, value)
        else:
            assert entry["type"] == "set"
            server.sadd(key, *value)
        until = max(value.values()) if entry["key"].endswith("leases") else until
    server.close()
    return ReviewQueue(str(settings.redis), settings.name("review:"), lambda: int(until) - 60_000)


class Topic:
    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    async def publish(self, decision: Decision) -> None:
        self.decisions.append(decision)


async def test_the_recorded_queue_is_listed_claimed_and_settled(recorded_queue: ReviewQueue) -> None:
    queue, stored = recorded_queue, {entry["key"]: entry["value"] for entry in lines("queue.jsonl")}
    entries = await queue.list(100)
    waiting = sorted(stored["review:open"], key=lambda tweet: (stored["review:open"][tweet], tweet))
    assert [entry.task.tweet.id for entry in entries] == waiting
    for entry in entries:
        raw = json.loads(stored["review:tasks"][entry.task.tweet.id])
        assert list(differences(raw, entry.task)) == []
        assert begin(entry.task).current.open
    assert {entry.task.tweet.id: entry.reviewer for entry in entries if entry.reviewer} == {"1044": "bea"}
    assert await queue.counts() == Counts(open=len(waiting) - 1, leased=1, decided=len(stored["review:settled"]))

    topic = Topic()
    session = Session(queue, topic, "ana", 60, lambda: 1_900_000_000_000)
    work = await session.next()
    assert work is not None
    assert work.task.tweet.id == waiting[0]
    while not work.done:
        work = work.accept()
    decision = await session.settle(work)
    assert topic.decisions == [decision]
    assert await queue.counts() == Counts(open=len(waiting) - 2, leased=1, decided=len(stored["review:settled"]) + 1)
    await queue.close()


async def test_settled_retracted_and_erased_posts_stay_so(recorded_queue: ReviewQueue) -> None:
    queue = recorded_queue
    first = {decision.kind: decision for decision in reversed(events("decisions", Decision))}
    settled, taken_back = first["settle"], first["retract"]
    assert await queue.add([settled.task]) == 0, "a settled task stays settled"
    (gone,) = events("tombstones", Lifecycle)
    erased = settled.task.model_copy(update={"tweet": settled.task.tweet.model_copy(update={"id": gone.post})})
    assert await queue.add([erased]) == 0, "an erased post never returns"
    again = await queue.take(taken_back.task.tweet.id, "ana", 60)
    assert again is not None
    assert again.task == taken_back.task
    assert again.after_ms == int(taken_back.decided_at.timestamp() * 1000)
    await queue.close()


@pytest.fixture
def recorded_index(settings: Settings) -> Index:
    """Restores the recorded index and its documents in Elasticsearch."""
    server = Elasticsearch(str(settings.elasticsearch))
    for name, definition in json.loads((RECORDED / "index.json").read_text(encoding="utf-8"))["indices"].items():
        aliases = {settings.name(alias): options for alias, options in definition.pop("aliases").items()}
        server.indices.create(index=settings.name(name), aliases=aliases, **definition)
    lots: list[dict[str, Any]] = []
    for document in lines("documents.jsonl"):
        place = {"_id": document["_id"], "version": document["_version"], "version_type": "external"}
        lots += [{"index": place}, document["_source"]]
    assert not server.bulk(index=settings.name("mentions"), operations=lots, refresh=True)["errors"]
    server.close()
    return Index(str(settings.elasticsearch), settings.name("mentions"))


async def test_the_recorded_index_is_searched_and_takes_newer_documents(recorded_index: Index) -> None:
    index, documents = recorded_index, {document["_id"]: document for document in lines("documents.jsonl")}
    await index.prepare()
    erased = {name for name, document in documents.items() if document["_source"].get("erased")}
    assert await index.count() == len(documents) - len(erased) > 10
    found = await index.search("Kaká", "PER")
    assert [(hit.id, hit.source, hit.reviewer) for hit in found.hits] == [("1009", "human", "ana")]
    everything = await index.search("", limit=100)
    assert {hit.id for hit in everything.hits} == set(documents) - erased
    for hit in everything.hits:
        raw = documents[hit.id]["_source"]["mentions"]
        assert [(m.start, m.end, m.text, m.type, m.probability, m.source) for m in hit.mentions] == [
            (m["start"], m["end"], m["text"], m["type"], m["probability"], m["source"]) for m in raw
        ]
    assert {(e.name, e.type) for e in await index.entities("Milan")} == {("milan", "ORG")}

    extraction = next(e for e in events("extractions", Extraction) if e.tweet.id == "1039")
    same = from_extraction(extraction, [m for m in extraction.mentions if m.probability >= extraction.threshold])
    assert await index.get("1039") == same, "a replay asks about the recorded document, not about another one"
    assert same.version == documents["1039"]["_version"], "a replay is no newer than the recorded document"
    newer_tweet = extraction.tweet.model_copy(update={"edit": extraction.tweet.edit + 1})
    newer = from_extraction(extraction.model_copy(update={"tweet": newer_tweet}), [])
    late = from_decision(next(d for d in events("decisions", Decision) if d.kind == "settle"))
    (gone,) = events("tombstones", Lifecycle)
    outcomes = await index.write([same, newer, late, marker(str(gone.post))])
    assert [outcome.kind for outcome in outcomes] == ["stale", "written", "stale", "stale"]
    held = await index.get("1039")
    assert held == newer
    await index.close()


@pytest.mark.parametrize("name", ["whole", "plain", "adapters"])
def test_a_recorded_checkpoint_makes_the_recorded_predictions(name: str) -> None:
    folder, threads = RECORDED / "checkpoints" / name, torch.get_num_threads()
    raw, info = json.loads((folder / "config.json").read_text(encoding="utf-8")), describe(folder)
    assert [fault for fault in differences(raw, info) if not fault.startswith((".vision", ".tokenizer"))] == []
    tweets = [Tweet.model_validate(post) for post in lines("checkpoints/posts.jsonl")]
    reader = Extractor.load(folder, device="cpu", threads=1)
    found = reader.extract_all(tweets, images=[image_of(tweet) for tweet in tweets])
    torch.set_num_threads(threads)
    for line, read in zip(lines(f"checkpoints/{name}.predictions.jsonl"), found, strict=True):
        then = [Mention.model_validate(mention) for mention in (*line["mentions"], *line["possible"])]
        assert (len(read.mentions), len(read.candidates)) == (len(line["mentions"]), len(line["possible"]))
        for recorded, mention in zip(then, (*read.mentions, *read.candidates), strict=True):
            assert (mention.start, mention.end, mention.text, mention.type) == (
                recorded.start,
                recorded.end,
                recorded.text,
                recorded.type,
            )
            assert figures(mention) == pytest.approx(figures(recorded), abs=TOLERANCE, rel=TOLERANCE)
        assert read.typicality == (None if line["familiar"] is None else pytest.approx(line["familiar"], abs=TOLERANCE))


def image_of(tweet: Tweet) -> Image.Image | None:
    names = [Path(media.url).name for media in tweet.media]
    files = [EXAMPLES / "images" / name for name in names]
    if not files or not files[0].is_file():
        return None
    with Image.open(files[0]) as image:
        return image.copy()


def figures(mention: Mention) -> dict[str, float]:
    """Returns every number of a mention and of its views' opinions, by name."""
    own = {name: float(getattr(mention, name)) for name in ("probability", "aleatoric", "epistemic")}
    return own | {f"{view} {name}": value for view, opinion in mention.views.items() for name, value in opinion}
