"""Lifecycle events, edits, extractions and decisions in any order, side by side and repeated: one end state.

Many cases run on stores in memory, some of them also on real servers. Each stage pauses at every use of a store, so
that others run in between.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hypothesis import HealthCheck, Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import Retry
from core.events import Author, Decision, Extraction, Mention, Tweet
from core.lifecycle import Cause, Kind, Lifecycle
from core.standing import Published, Standing, published_at, subject_of
from sinks.index.document import ERASED, Document
from sinks.index.index import Outcome
from sinks.queue.values import Holding
from streams.agents.decide import Decide
from streams.agents.deliver import Deliver
from streams.agents.erase import Erase
from streams.pipeline.item import Item, Origin
from streams.retention import Retention
from streams.routing import route
from tests.metrics_read import metric
from tests.sinks.values import decision
from tests.streams.memory import MemoryIndex, MemoryQueue
from tests.streams.said import Said, applying

DAY = datetime(2026, 11, 20, tzinfo=UTC)
RECEIVED = DAY + timedelta(hours=1.5)
"""When the first version of each post was received."""
POSTS = {
    "early": DAY - timedelta(hours=0.5),
    "late": RECEIVED,
    "undated": None,
    "future": DAY + timedelta(days=9),  # a wrong date: it was received before
    "queued": RECEIVED,  # only the queue holds it, since the index loses it
}
"""Post of the author ana -> its date. Events come at full hours from 0 to 3. An edit comes a little later, with a later
date."""
ASKED_FIRST = {"early", "queued"}
"""Posts with a question about their first edit. The others have one about the second edit."""

Event = Lifecycle | Extraction | Decision


def extraction(post: str, edit: int = 0) -> Extraction:
    """One reading of an edit. Of two readings the first to come stays, so there is only one here."""
    text, asks = f"Paris {edit}", (post in ASKED_FIRST) == (edit == 0)
    mention = Mention(
        start=0, end=5, text="Paris", type="LOC", probability=0.4 if asks else 0.95, aleatoric=0.1, epistemic=0.1
    )
    date = POSTS[post]
    created = date and date + timedelta(minutes=10 * edit)
    tweet = Tweet(id=post, text=text, edit=edit, created_at=created, author=Author(id="ana"))
    tweet = tweet.model_copy(update={"received_at": RECEIVED + timedelta(minutes=20 * edit)})
    return Extraction(tweet=tweet, mentions=(mention,), model="m", model_version=1, threshold=0.8)


def decided(post: str, stamp: int) -> Decision:
    """A decision on the edit that has a question. No two decisions on one task have the same stamp."""
    task = route(extraction(post, 0 if post in ASKED_FIRST else 1), None, None).task
    assert task is not None
    return decision(task, 1_800_000_000_000 + stamp, kind="retract" if stamp == 1 else "settle")


def said(kind: Kind, subject: str, hours: float = 1, cause: Cause | None = None) -> Lifecycle:
    named = {"author": subject} if subject == "ana" else {"post": subject}
    return Lifecycle(kind=kind, cause=cause, at=DAY + timedelta(hours=hours), source="test", **named)


HIDES = st.sampled_from(["hide", "show"])
SUBJECTS = st.sampled_from(["ana", *POSTS])
CAUSES: st.SearchStrategy[Cause] = st.sampled_from(["protected", "suspended"])
INDEXED = st.sampled_from([post for post in POSTS if post != "queued"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(extraction, INDEXED, st.integers(0, 1)),
    st.builds(extraction, st.just("queued")),
    st.builds(decided, INDEXED, st.integers(0, 2)),
    st.builds(said, HIDES, SUBJECTS, st.integers(0, 3), CAUSES),
    st.builds(said, st.sampled_from(["erase", "scrub_geo"]), SUBJECTS, st.integers(0, 3)),
)


@dataclass
class Stores:
    index: Any
    queue: Any
    subjects: Any
    nulls: list[str]

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        assert value is None
        self.nulls.append(key.decode())

    def stages(self) -> dict[type[Any], Any]:
        apply, producer = applying(self.index, self.queue, self.subjects, self), cast(Any, self)
        return {
            Lifecycle: Erase(self.index, self.subjects, apply),
            Extraction: Deliver(self.index, self.queue, apply, None, None),
            Decision: Decide(self.index, self.queue, apply, producer, "decisions", Retention(None)),
        }

    async def process(self, event: Event, stage: Any) -> None:
        item: Item[Any] = Item(Origin("t", 0, 0, b"", b"", 0.0), parsed=event)
        while True:
            try:
                await stage.process([item] if isinstance(stage, Deliver) else item)
            except Retry:
                continue
            assert item.dead is None
            return

    async def sweep(self) -> None:
        """Looks at the posts that only the queue holds. Without it, an author's events do not reach them."""
        apply = applying(self.index, self.queue, self.subjects, self)
        async for tasks in self.queue.kept():
            await apply.compare([task.tweet for task in tasks if task.tweet.id.startswith("queued")])

    async def state(self) -> tuple[Any, ...]:
        """Returns all that people and programs can see, and what is kept of hidden posts."""
        held: dict[str, Document] = await self.index.held(list(POSTS))
        shown = [(entry.task.tweet.id, entry.task.tweet.edit) for entry in await self.queue.list()]
        holdings: dict[str, Holding] = {name: await self.queue.holds(name) for name in POSTS}
        documents = {name: (one.version, one.body, one.hidden) for name, one in sorted(held.items())}
        return documents, shown, holdings, await self.queue.counts()


class Losing:
    """An index that loses the posts that are called queued, and keeps their markers."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        lost = [document for document in documents if document.id.startswith("queued") and not document.erased]
        kept = [document for document in documents if document not in lost]
        outcomes = dict(zip(map(id, kept), await self._index.write(kept), strict=True))
        return [outcomes.get(id(document), Outcome("written")) for document in documents]


def in_memory(chance: random.Random | None, most: int = 3) -> Stores:
    async def pause() -> None:
        for _ in range(chance.randint(0, most) if chance else 0):
            await asyncio.sleep(0)

    class PausingSaid(Said):
        async def record(self, event: Lifecycle) -> bool:
            await pause()
            return await super().record(event)

        async def read(self, subjects: Any) -> dict[str, Standing]:
            await pause()
            read = await super().read(subjects)
            await pause()
            return read

        async def fates(self, posts: Sequence[Published]) -> list[Any]:
            standings = await self.read([subject for post in posts for subject in post.subjects])
            return [post.fate(standings) for post in posts]

    return Stores(Losing(MemoryIndex(pause)), MemoryQueue(pause), PausingSaid(), [])


async def after(stores: Stores, events: Sequence[Event], *, together: bool = False) -> tuple[Any, ...]:
    stages = stores.stages()
    work = [stores.process(event, stages[type(event)]) for event in events]
    if together:
        await asyncio.gather(*work)
    else:
        for one in work:
            await one
    await stores.sweep()
    return await stores.state()


def check_meaning(events: Sequence[Event], stores: Stores, state: tuple[Any, ...]) -> None:
    """Asserts what the end state must be, from the events themselves."""
    documents, shown, holdings, _ = state
    standings: dict[str, Standing] = {}
    for event in events:
        if isinstance(event, Lifecycle):
            held = standings.get(subject_of(event), Standing())
            standings[subject_of(event)] = held.merged(Standing.of(event))
    arrived = {event.tweet.id for event in events if isinstance(event, Extraction)}
    arrived |= {event.task.tweet.id for event in events if isinstance(event, Decision)}
    for post, created in POSTS.items():
        fate = Published(post, "ana", published_at(created, RECEIVED)).fate(standings)
        if post not in arrived:
            erased = standings.get(f"post:{post}", Standing()).erased is not None
            assert (post in documents, post in stores.nulls) == (False, erased)
            assert holdings[post] == Holding(False, False, False, hidden=False, erased=False)
        elif fate == "erased":
            assert documents[post] == (ERASED, {"id": post, "erased": True}, False)
            assert holdings[post] == Holding(False, False, False, hidden=False, erased=True)
            assert post in stores.nulls
        elif post == "queued":
            assert ((post, 0) in shown) is (fate == "visible")
        elif post in documents:
            assert documents[post][2] is (fate == "hidden")
            assert holdings[post].hidden is (fate == "hidden")
            assert fate == "visible" or post not in [name for name, _ in shown]


ordered = given(st.lists(EVENTS, min_size=1, max_size=6), st.randoms(use_true_random=False))


@ordered
@hypothesis_settings(max_examples=150, phases=(Phase.explicit, Phase.generate))
@example([extraction("early"), said("hide", "ana", 1, "protected"), said("show", "ana", 2)], random.Random(1))
def test_the_end_state_is_a_function_of_the_set_of_events(events: list[Event], chance: random.Random) -> None:
    shuffled = [*events, *events]
    chance.shuffle(shuffled)

    async def run() -> None:
        first = in_memory(None)
        wanted = await after(first, events)
        check_meaning(events, first, wanted)
        assert await after(in_memory(None), shuffled) == wanted
        for _ in range(3):
            side_by_side = in_memory(chance)
            assert await after(side_by_side, shuffled, together=True) == wanted
            check_meaning(events, side_by_side, wanted)

    asyncio.run(run())


def renamed(event: Event, number: int) -> Event:
    """Returns the same event about the posts and the author of another example."""
    raw = event.model_dump_json(by_alias=False)
    for name in (*POSTS, "ana"):
        raw = raw.replace(f'"{name}"', f'"{name}-{number}"')
    return type(event).model_validate_json(raw)


@given(st.lists(st.lists(EVENTS, min_size=2, max_size=6), min_size=12, max_size=12), st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=1, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
async def test_real_stores_end_in_the_same_state(real: Stores, cases: list[list[Event]], chance: random.Random) -> None:
    """All cases run side by side, each with posts and an author of its own."""
    real.index = Losing(real.index)
    stages, work = real.stages(), []
    for number, events in enumerate(cases):
        work += [renamed(event, number) for event in (*events, *events)]
    chance.shuffle(work)
    await asyncio.gather(*(real.process(event, stages[type(event)]) for event in work))
    await real.sweep()
    shown = {entry.task.tweet.id for entry in await real.queue.list(1000)}
    for number, events in enumerate(cases):
        model = in_memory(None)
        documents, tasks, holdings, _ = await after(model, events)
        check_meaning(events, model, await model.state())
        held = await real.index.held([f"{post}-{number}" for post in POSTS])
        for post in POSTS:
            name = f"{post}-{number}"
            assert await real.queue.holds(name) == holdings[post]
            assert (name in shown) is (post in [task for task, _ in tasks])
            assert (name in held) is (post in documents)
            if name in held:
                version, body, hidden = documents[post]
                assert (held[name].version, held[name].hidden) == (version, hidden)
                assert held[name].body.get("text") == body.get("text")


async def test_whoever_applies_an_old_standing_last_notices_the_newer_one() -> None:
    """A hide and a show of one post are applied at the same time, in many ways to take turns."""
    turns: list[Event] = [said("hide", "early", 1, "suspended"), said("show", "early", 2)]
    for seed in range(300):
        stores = in_memory(random.Random(seed), most=12)
        await after(stores, [extraction("early")])
        documents, shown, holdings, _ = await after(stores, turns, together=True)
        assert documents["early"][2] is False, seed
        assert holdings["early"] == Holding(True, False, False, hidden=False, erased=False), seed
        assert shown == [("early", 0)], seed


async def test_posts_that_never_come_leave_only_their_standing(real: Stores) -> None:
    """Most posts that platforms delete were never fed."""
    stages = real.stages()
    for event in (said("erase", "early"), said("hide", "late", 1, "suspended")):
        await real.process(event, stages[Lifecycle])
    assert await real.index.held(["early", "late"]) == {}
    assert real.nulls == ["early"], "a worker may have refused its extraction, or passed over a decision on it"
    assert not any((one.content or one.erased) for one in await real.queue.holdings(["early", "late"]))
    assert set(await real.subjects.read(["post:early", "post:late"])) == {"post:early", "post:late"}


async def test_an_event_is_measured_once_and_only_when_it_changes_something() -> None:
    stores = in_memory(None)
    event, before = said("erase", "early"), metric("mner_erase_seconds_count", source="unknown")
    for _ in range(3):
        await stores.process(event, stores.stages()[Lifecycle])
    assert metric("mner_erase_seconds_count", source="unknown") - before == 1
