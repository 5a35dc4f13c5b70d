"""Makes disputed and flagged tasks, with real votes in the queue and in the topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from core.events import Decision, EntityType, Mention, Question, Reason, ReviewTask, Tweet
from review import settling
from review.decision_topic import DecisionTopic
from review.settling import Desk
from review.work import Work, begin
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.settings import Settings

TEXT = "Ada Lovelace met the Royal Society in London \u202eand <b>wrote</b> 👩‍🚀"
Answer = Callable[[Work], Work]


def named(words: str, kind: EntityType, text: str = TEXT) -> Mention:
    start = text.index(words)
    return Mention(
        start=start,
        end=start + len(words),
        text=words,
        type=kind,
        probability=0.5,
        aleatoric=0.3,
        epistemic=0.12,
    )


def task_of(post: str, text: str = TEXT) -> ReviewTask:
    reason = Reason(kind="low_probability", sentence="50% sure that this is PER")
    asked = [named(words, kind, text) for words, kind in (("Ada Lovelace", "PER"), ("Royal Society", "ORG"))]  # type: ignore[arg-type]
    return ReviewTask(
        id=f"{post}:0:tiny:1",
        tweet=Tweet(id=post, text=text, source="bluesky"),
        questions=tuple(Question(mention=mention, reasons=(reason,)) for mention in asked),
        confident=(named("London", "LOC", text),),
        model="tiny",
        model_version=1,
        threshold=0.8,
        uncertainty=0.5,
    )


def accepts(work: Work) -> Work:
    return work.accept().accept()


def moves(work: Work) -> Work:
    """Takes the first name for a shorter one, rejects the second, and adds one."""
    return work.respan(0, 3).reject().add(TEXT.index("met"), TEXT.index("met") + 3, "MISC")


def rejects(work: Work) -> Work:
    return work.reject().reject()


class House:
    """A queue and a topic with people who vote, two on each task."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.queue = desk, desk.queue

    async def vote(self, reviewer: str, post: str, answer: Answer) -> Decision:
        claim = await self.queue.take(post, reviewer, 60)
        assert claim is not None
        return await settling.settle(self.desk, claim, answer(begin(claim.task)))

    async def dispute(self, post: str) -> None:
        await self.queue.add([task_of(post)])
        await self.vote("ana", post, accepts)
        await self.vote("bob", post, moves)

    async def flag(self, post: str, note: str = "", reviewer: str = "ana") -> None:
        await self.queue.add([task_of(post)])
        claim = await self.queue.take(post, reviewer, 60)
        assert claim is not None
        await self.queue.flags.add(claim, note)

    async def disputed(self) -> list[str]:
        return [one.task.tweet.id for one in await self.queue.votes.disputed()]


@asynccontextmanager
async def house(settings: Settings) -> AsyncIterator[House]:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    assert settings.kafka is not None
    topic = DecisionTopic(settings.kafka, settings.name(topics.DECISIONS))
    try:
        yield House(Desk(queue, topic, 2, 60))
    finally:
        await topic.close()
        await queue.close()
