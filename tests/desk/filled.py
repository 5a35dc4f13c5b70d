"""Fills index and queue with posts, as a worker would, without a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from core.events import (
    ENTITY_TYPES,
    Decision,
    EntityType,
    Extraction,
    ImageResult,
    Mention,
    Opinion,
    ReviewTask,
    Tweet,
    Vote,
)
from desk.saved.ledger import Ledgers
from desk.saved.signature import new_secret
from desk.saved.store import SavedSearches
from desk.saved.values import Delivery, SavedSearch, Webhook
from model.checkpoint import describe
from sinks.index.document import from_extraction
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from sinks.searching.state import SearchState
from streams import servers, topics
from streams.routing import route
from streams.settings import Settings
from streams.threshold_log import AnswerTable, DrawnAnswer

NAMED = re.compile(r"\b[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")


def mention(text: str, start: int, end: int, entity_type: EntityType, probability: float) -> Mention:
    views = {
        "text": Opinion(probability=probability, aleatoric=0.1, epistemic=0.05, share=0.7),
        "text+image": Opinion(probability=1 - probability, aleatoric=0.2, epistemic=0.3, share=0.3),
    }
    return Mention(
        start=start,
        end=end,
        text=text[start:end],
        type=entity_type,
        probability=probability,
        aleatoric=0.12,
        epistemic=0.21,
        views=views,
    )


def extraction(tweet: Tweet, mentions: Sequence[Mention], **fields: Any) -> Extraction:
    values: dict[str, Any] = {"model": "stub", "model_version": 1_750_000_000, "threshold": 0.9}
    return Extraction(tweet=tweet, mentions=tuple(mentions), **(values | fields))


def read(post: dict[str, Any]) -> Extraction:
    """Returns what a model might find in a post: its capitalised words. Every third one is uncertain."""
    tweet = Tweet.model_validate(post)
    tweet = tweet.model_copy(update={"received_at": tweet.created_at})
    found = []
    for place, words in enumerate(NAMED.finditer(tweet.text)):
        digest = sum(map(ord, words[0])) + place
        probability = 0.55 if digest % 3 == 0 else 0.97
        found.append(mention(tweet.text, words.start(), words.end(), ENTITY_TYPES[digest % 4], probability))
    image = ImageResult(status="ok", url=tweet.media[0].url, width=640, height=480) if tweet.media else ImageResult()
    return extraction(tweet, found, image=image, typicality=0.05 if len(tweet.text) % 3 else 0.5)


async def fill(settings: Settings, extractions: Iterable[Extraction]) -> int:
    """Writes documents to the index, and tasks to the queue. Returns the number of tasks."""
    addresses = servers.addresses(settings)
    index = Index(addresses.elasticsearch, settings.name("mentions"))
    queue = ReviewQueue(addresses.redis, settings.name("review:"))
    try:
        await index.prepare()
        routed = [(each, route(each)) for each in extractions]
        outcomes = await index.write([from_extraction(each, routing.confident) for each, routing in routed])
        assert {outcome.kind for outcome in outcomes} <= {"written"}
        await index.refresh()
        tasks = [routing.task for _, routing in routed if routing.task]
        await queue.add(tasks)
        return len(tasks)
    finally:
        await index.close()
        await queue.close()


async def answer(settings: Settings, said: Mapping[str, str]) -> None:
    """Tells what people answered about confident mentions of each source, in order: + for right, - for wrong."""
    info = describe(settings.model)
    table = AnswerTable(servers.kafka(settings), settings.name(topics.THRESHOLDS))
    await table.start()
    try:
        for number, (source, sign) in enumerate((source, sign) for source, signs in said.items() for sign in signs):
            told = DrawnAnswer(
                id=f"{number:032x}",
                source=source,
                probability=0.97,
                threshold=info.threshold,
                is_right=sign == "+",
                model=info.name,
                model_version=info.model_version,
                start=info.threshold,
            )
            await table.put(told.id, told)
    finally:
        await table.close()


async def disagree(queue: ReviewQueue, task: ReviewTask, votes: tuple[Vote, ...]) -> None:
    """Stores two votes about a task, which make it disputed."""
    decision = Decision(
        id=f"v{task.tweet.id}",
        kind="vote",
        task=task,
        mentions=(),
        reviewer="bob",
        decided_at=votes[-1].decided_at,
        votes=votes,
        votes_needed=2,
    )
    await queue.votes.apply(decision)


async def set_apart(settings: Settings, notes: Sequence[str]) -> None:
    """Flags a task of the queue for each note, and makes people disagree about as many others."""
    queue = ReviewQueue(servers.redis(settings), settings.name("review:"))
    try:
        tasks = [entry.task for entry in await queue.list(limit=2 * len(notes))]
        for task, note in zip(tasks[::2], notes, strict=True):
            claim = await queue.take(task.tweet.id, note[:60] or "ana", 60)
            assert claim is not None
            await queue.flags.add(claim, note)
        now = datetime.now(UTC)
        for task in tasks[1::2]:
            votes = tuple(
                Vote(reviewer=name, decided_at=now, mentions=mentions)
                for name, mentions in (("ana", (task.questions[0].mention,)), ("bob", ()))
            )
            await disagree(queue, task, votes)
    finally:
        await queue.close()


async def save(settings: Settings, texts: Sequence[str]) -> None:
    """Saves a search for each text, with a webhook that is paused. Whatever is text there holds it."""
    addresses = servers.addresses(settings)
    searches, now = SavedSearches(addresses.kafka, settings.name(topics.DESK)), datetime.now(UTC)
    ledgers = Ledgers(addresses.redis, settings.name(""))
    searches.start()
    await searches.ready()
    try:
        for place, text in enumerate(texts):
            hook = Webhook(url=f"https://hooks.example/{text}", secret=new_secret(), paused=text[:500])
            query = SearchState(words=text, types=("ORG",)).to_query()
            saved = SavedSearch(
                id=f"s{place}", name=f"{place} {text}"[:100], query=query, owner=text[:128], created=now, webhook=hook
            )
            await searches.put(saved)
            await ledgers.gap(saved.id)
            await ledgers.note(saved.id, Delivery(at=now, message=text, delivered=place == 1, tries=8, said=text))
    finally:
        await searches.close()
        await ledgers.close()
