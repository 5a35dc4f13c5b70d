"""Posts whose source keeps its text back are shown to nobody, also while their tasks are still in the queue."""

from __future__ import annotations

import pytest

from core.events import ReviewTask
from core.terms import Sources, Terms
from desk.access.people import Person
from desk.adjudication.service import Adjudication
from desk.review.service import Changed, Reviews
from review.settling import Desk
from sinks.queue.queue import ReviewQueue
from streams import servers
from streams.settings import Settings
from tests.desk.review.made import named, task_of

TEXT = "NASA in Paris"
SILENT = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
TAB = "a" * 16


class NoTopic:
    async def publish(self, decision: object) -> None:
        raise AssertionError("nothing is decided here")


def task(post: str, source: str, uncertainty: float) -> ReviewTask:
    made = task_of(post, TEXT, named(TEXT, "NASA", "ORG"), uncertainty=uncertainty)
    return made.model_copy(update={"tweet": made.tweet.model_copy(update={"source": source})})


async def test_a_task_whose_source_keeps_the_text_back_is_shown_to_nobody(desk_settings: Settings) -> None:
    queue = ReviewQueue(servers.addresses(desk_settings).redis, desk_settings.name("review:"))
    sources = Sources({"silent": SILENT})
    try:
        await queue.add([task("1", "silent", 0.9), task("2", "loud", 0.5), task("3", "silent", 0.1)])
        reviews = Reviews(queue, NoTopic(), sources)
        with pytest.raises(Changed, match="the terms of its source"):
            await reviews.take("ana", TAB, "1")
        assert [told.post for told in (await reviews.hand("ana", TAB, 3, [])).tasks] == ["2"]
        claim = await queue.take("3", "bob", 60)
        assert claim is not None
        await queue.flags.add(claim, "what is this?")
        people = Person("eve", frozenset({"admin"}))
        assert await Adjudication(Desk(queue, NoTopic(), 1, 60.0), people, sources).cases() == []
        assert len(await Adjudication(Desk(queue, NoTopic(), 1, 60.0), people).cases()) == 1
    finally:
        await queue.close()
