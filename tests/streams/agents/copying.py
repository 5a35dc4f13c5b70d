"""Four copies of one post, decisions on them, and the agents deliver and decide with a topic in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from core.events import Decision, ImageResult, Mention, Question, Reason, ReviewTask, Tweet, Verdict
from sinks.index.document import from_decision, stamp_ms
from sinks.queue.queue import ReviewQueue
from streams.agents.copies import CopySettler, group_of
from streams.settings import Settings
from tests.sinks.conftest import Clock

POST = "Webb sees the Andromeda galaxy from Kourou"
COPIES = {
    "a": POST,
    "b": f"RT @space: {POST} https://t.co/x",
    "c": f"{POST}\n\nhttps://example.com/a/long/address via @ada",
    "d": f"@ada @bob {POST.upper()}",
}
WINDOW_S = 3600.0
START_MS = Clock().now
"""Stamps in this module are in milliseconds after this."""

SETTLED = {"andromeda": "MISC", "kourou": "LOC"}
REOPENED = {"kourou": "LOC"}
"""Types in the index by text, after the decision of this module and after it is taken back."""


def mention(text: str, within: str, kind: Any = "LOC", probability: float = 0.5) -> Mention:
    start = within.lower().index(text.lower())
    end = start + len(text)
    figures = {"probability": probability, "aleatoric": 0.1, "epistemic": 0.1}
    return Mention(start=start, end=end, text=within[start:end], type=kind, **figures)


def task(name: str, text: str | None = None, *, edit: int = 0, image: ImageResult | None = None) -> ReviewTask:
    text = COPIES[name] if text is None else text
    reason = Reason(kind="low_probability", sentence="unsure")
    return ReviewTask(
        id=f"{name}:{edit}:m:1",
        tweet=Tweet(id=name, text=text, edit=edit),
        questions=(Question(mention=mention("Andromeda", text), reasons=(reason,)),),
        confident=(mention("Kourou", text, probability=0.95),) if "kourou" in text.lower() else (),
        image=image or ImageResult(),
        model="m",
        model_version=1,
        threshold=0.9,
        uncertainty=0.5,
    )


def at(stamp: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=START_MS + stamp)


def received(of: ReviewTask, stamp: int) -> ReviewTask:
    return of.model_copy(update={"tweet": of.tweet.model_copy(update={"received_at": at(stamp)})})


def decision(of: ReviewTask, stamp: int, kind: Literal["settle", "retract"] = "settle") -> Decision:
    before = of.questions[0].mention
    after = before.model_copy(update={"type": "MISC", "probability": 1.0, "source": "human"})
    settles = kind == "settle"
    return Decision(
        id=f"d{of.tweet.id}{stamp}",
        kind=kind,
        task=of,
        mentions=(after, *of.confident) if settles else of.confident,
        verdicts=(Verdict(action="retype", before=before, after=after),) if settles else (),
        reviewer="ana",
        decided_at=at(stamp),
    )


class House:
    """The agents deliver and decide with a topic in memory, and documents by the index's rule of versions."""

    def __init__(self, queue: ReviewQueue) -> None:
        self.queue = queue
        self.topic: list[Decision] = []
        self.documents: dict[str, tuple[int, bytes]] = {}
        self.broken = False
        self.settler = CopySettler(queue.copies, self, "decisions", WINDOW_S)  # type: ignore[arg-type]

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        if self.broken:
            raise ConnectionError("the worker dies here")
        assert value is not None
        self.topic.append(Decision.model_validate_json(value))
        assert key.decode() == self.topic[-1].task.tweet.id

    async def deliver(self, *tasks: ReviewTask) -> None:
        await self.queue.add(tasks)
        await self.settler.queued(tasks)

    async def decide(self, *decisions: Decision) -> None:
        """Applies decisions, and those that follow from them."""
        for one in decisions:
            await self.apply(one)
        await self.drain()

    async def apply(self, one: Decision) -> None:
        document = from_decision(one)
        if (
            one.kind != "vote" and document.version > self.documents.get(document.id, (-1, b""))[0]
        ):  # the first of equal versions stays
            self.documents[document.id] = document.version, document.encoded
        if one.kind == "settle":
            await self.queue.settle(one.task, stamp_ms(one.decided_at))
        elif one.kind == "vote" or one.votes:
            await self.queue.votes.apply(one)
        else:
            await self.queue.reopen(one.task, stamp_ms(one.decided_at), is_copy=one.copy_of is not None)
        await self.settler.decided(one)

    async def drain(self) -> None:
        while self.topic:
            await self.decide(self.topic.pop(0))

    async def redis(self) -> dict[str, str]:
        """Returns all that the queue's keys hold."""
        redis, held = self.queue._script.redis, {}
        for key in await redis.keys(self.queue._script.keys[0].removesuffix("open") + "*"):
            kind = await redis.type(key)
            read: Any = {b"hash": redis.hgetall, b"set": redis.smembers, b"string": redis.get}.get(kind)
            held[key.decode()] = repr(await (read(key) if read else redis.zrange(key, 0, -1)))
        return held

    async def lose_redis(self) -> None:
        await self.queue._script.redis.delete(*await self.redis())

    async def open(self) -> list[str]:
        return [entry.task.tweet.id for entry in await self.queue.list(100)]

    def types(self) -> dict[str, dict[str, str]]:
        """Returns, by post, the types in the index by lower-case text."""
        found: dict[str, dict[str, str]] = {}
        for name, (_, body) in self.documents.items():
            document: Any = json.loads(body)
            found[name] = {one["text"].lower(): one["type"] for one in document["mentions"]}
        return found


def grouping(settings: Settings) -> ReviewQueue:
    name = settings.name("review:")
    return ReviewQueue(str(settings.redis), name, Clock(), group_of=group_of, window_s=WINDOW_S)
