"""Two posts with one id and edit: the first stays, the second becomes a dead letter. The sinks are real servers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from core.events import Extraction, Mention, Tweet
from sinks.index.document import from_decision, marker
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams.agents.deliver import Deliver
from streams.pipeline.item import Item, Origin
from streams.settings import Settings
from tests.metrics_read import metric
from tests.sinks.values import decision, task
from tests.streams.said import applying

OLD, NEW = 1_763_700_000, 1_763_800_000
HERE, THERE, ELSEWHERE = "Paris is here", "Oslo is there", "Rome is elsewhere"


@dataclass(frozen=True)
class Read:
    """A post as a model version read it. Its first word is a mention."""

    text: str
    edit: int = 0
    version: int = OLD
    probability: float = 0.9
    id: str = "1"

    def item(self) -> Item[Extraction]:
        word = self.text.split()[0]
        figures = {"probability": self.probability, "aleatoric": 0.1, "epistemic": 0.1}
        mention = Mention(start=0, end=len(word), text=word, type="LOC", **figures)
        tweet = Tweet(id=self.id, text=self.text, edit=self.edit)
        extraction = Extraction(tweet=tweet, mentions=(mention,), model="m", model_version=self.version, threshold=0.8)
        return Item(Origin("extractions", 0, 0, self.id.encode(), b"{}", 0.0), parsed=extraction)


#: Name -> the posts in order, the places of those that become dead letters, and the text that the index has then.
CASES: dict[str, tuple[list[Read], list[int], str]] = {
    "another text": ([Read(HERE), Read(THERE)], [1], HERE),
    "three texts": ([Read(HERE), Read(THERE), Read(ELSEWHERE)], [1, 2], HERE),
    "the first again": ([Read(HERE), Read(THERE), Read(HERE)], [1], HERE),
    "a newer model version": ([Read(HERE), Read(THERE, version=NEW)], [1], HERE),
    "an older model version": ([Read(HERE, version=NEW), Read(THERE)], [1], HERE),
    "the first, read by a newer model version": ([Read(HERE), Read(THERE), Read(HERE, version=NEW)], [1], HERE),
    "both, read by a newer model version": (
        [Read(HERE), Read(THERE), Read(THERE, version=NEW), Read(HERE, version=NEW)],
        [1, 2],
        HERE,
    ),
    "a replay": ([Read(HERE), Read(HERE)], [], HERE),
    "another reading of the same text": ([Read(HERE), Read(HERE, probability=0.95)], [], HERE),
    "a newer model version of the same text": ([Read(HERE), Read(HERE, version=NEW)], [], HERE),
    "an older model version of the same text": ([Read(HERE, version=NEW), Read(HERE)], [], HERE),
    "an edit": ([Read(HERE), Read(THERE, edit=1)], [], THERE),
    "an edit, then its first version": ([Read(THERE, edit=1), Read(HERE)], [], THERE),
    "two posts with the same edit": ([Read(HERE, edit=2), Read(THERE, edit=2)], [1], HERE),
    "a collision below an edit is outdated": ([Read(HERE, edit=1), Read(THERE), Read(ELSEWHERE)], [], HERE),
    "a difference of one blank": ([Read(HERE), Read(HERE + " ")], [1], HERE),
    "other ids": ([Read(HERE), Read(THERE, id="2")], [], HERE),
    "an uncertain post, then another": ([Read(HERE, probability=0.4), Read(THERE, probability=0.4)], [1], HERE),
    "an uncertain post, then a certain one of a newer model": (
        [Read(HERE, probability=0.4), Read(THERE, version=NEW)],
        [1],
        HERE,
    ),
}

TOGETHER = "in one batch"
every_case = pytest.mark.parametrize("case", CASES)
every_size = pytest.mark.parametrize("size", [1, 100], ids=["one by one", TOGETHER])


async def delivered(index: Any, queue: ReviewQueue, posts: Sequence[Read], size: int) -> list[Item[Extraction]]:
    """Delivers the posts in batches of `size`."""
    stage, items = Deliver(index, queue, applying(index, queue), None, None), [post.item() for post in posts]
    for start in range(0, len(items), size):
        await stage.process(items[start : start + size])
    return items


async def stored(settings: Settings, index: Index) -> dict[str, Any]:
    await index.refresh()
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        answer = await client.search(index=index.name, query={"match_all": {}}, version=True, seq_no_primary_term=True)
    return {hit["_id"]: hit for hit in answer["hits"]["hits"]}


@every_case
@every_size
async def test_the_first_stays_and_the_second_is_a_dead_letter_also_in_a_replay(
    case: str, size: int, settings: Settings, index: Index, queue: ReviewQueue, caplog: pytest.LogCaptureFixture
) -> None:
    posts, places, text = CASES[case]
    before, caplog_level = metric("mner_collisions_total"), logging.WARNING
    with caplog.at_level(caplog_level, logger="streams.agents.deliver"):
        items = await delivered(index, queue, posts, size)
    dead = [place for place, item in enumerate(items) if item.dead]
    assert dead == places
    assert metric("mner_collisions_total") - before == len(places) == len(caplog.records)
    for place in places:
        letter = items[place].dead
        assert letter is not None
        assert (letter.stage, letter.error) == ("deliver", "Collision")
        assert "another post with the id '1'" in letter.reason
        assert "server:1" in letter.reason
        assert "higher edit" in letter.reason
        assert not any(other.text in letter.reason for other in posts), (
            "a letter outlives the post that it collides with"
        )
    first, tasks = await stored(settings, index), [entry.task for entry in await queue.list(limit=10)]
    assert first["1"]["_source"]["text"] == text
    assert all(task.tweet.text == text for task in tasks if task.tweet.id == "1")
    again = await delivered(index, queue, posts, size)
    assert await stored(settings, index) == first, "a replay changes nothing"
    assert [entry.task for entry in await queue.list(limit=10)] == tasks
    superseded = any(post.edit > posts[place].edit for place in places for post in posts if post.id == "1")
    assert superseded or [place for place, item in enumerate(again) if item.dead] == places


async def test_another_worker_that_writes_first_is_noticed_after_the_write(
    index: Index, queue: ReviewQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = index.texts

    async def late(ids: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        seen = await texts(ids)
        monkeypatch.undo()
        await delivered(index, queue, [Read(HERE, probability=0.4)], 1)
        return seen

    monkeypatch.setattr(index, "texts", late)
    (second,) = await delivered(index, queue, [Read(THERE, probability=0.4)], 1)
    assert second.dead is not None
    assert second.dead.error == "Collision"
    assert [entry.task.tweet.text for entry in await queue.list()] == [HERE]


async def test_a_post_that_collides_with_a_decided_one_is_a_dead_letter(index: Index, queue: ReviewQueue) -> None:
    about = task("1", text=HERE, model_version=OLD)
    await index.write([from_decision(decision(about, 1_800_000_000_000))])
    first, second = await delivered(index, queue, [Read(HERE), Read(THERE, version=NEW)], 1)
    assert (first.dead is None, second.dead is None) == (True, False)


@every_size
async def test_a_post_with_the_id_of_an_erased_one_stays_away(index: Index, queue: ReviewQueue, size: int) -> None:
    await index.write([marker("1")])
    items = await delivered(index, queue, [Read(HERE), Read(THERE), Read(THERE, edit=65_535)], size)
    assert [item.dead for item in items] == [None] * 3


async def test_an_edit_that_could_not_be_read_is_named_in_the_reason(index: Index, queue: ReviewQueue) -> None:
    await delivered(index, queue, [Read(HERE)], 1)
    item = Read(THERE).item()
    raw = '{"id": "1", "text": "Oslo is there", "edit": "2018-10-10"}'
    item.parsed = item.event.model_copy(update={"tweet": Tweet.model_validate_json(raw)})
    await Deliver(index, queue, applying(index, queue), None, None).process([item])
    assert item.dead is not None
    assert "Its own edit could not be read (unreadable)" in item.dead.reason


async def test_an_index_that_was_deleted_is_made_again(settings: Settings, index: Index, queue: ReviewQueue) -> None:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.delete(index=f"{index.name}-1")
    assert await index.texts(["1"]) == {}
