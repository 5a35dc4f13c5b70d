"""What Redis loses, and what the index lacks, is mended: by the next event of the post, or by a worker's sweep."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, cast

import pytest

from core.errors import Retry
from core.events import Extraction
from core.lifecycle import Lifecycle
from core.terms import UNLISTED
from sinks.index.document import Document
from sinks.index.index import Outcome
from sinks.queue.script import KEYS
from streams.retention import Retention, Sweeper
from tests.streams.agents.test_lifecycle import Stores, extraction, in_memory, said
from tests.streams.said import applying


async def deliver(stores: Stores, post: str = "early") -> None:
    await stores.process(extraction(post), stores.stages()[Extraction])


async def tell(stores: Stores, *events: Lifecycle) -> None:
    for event in events:
        await stores.process(event, stores.stages()[Lifecycle])


async def listed(stores: Stores) -> list[str]:
    return [entry.task.tweet.id for entry in await stores.queue.list()]


async def lose(stores: Stores, *posts: str) -> None:
    """The index was made anew from what the topics still hold."""
    for post in posts:
        await stores.index.ask(lambda client, name=post: client.delete(index=stores.index.name, id=name, refresh=True))


async def sweep(stores: Stores) -> None:
    apply = applying(stores.index, stores.queue, stores.subjects, stores)
    args = (stores.index, stores.queue, cast(Any, stores), "decisions", Retention(None), UNLISTED)
    await Sweeper(*args, apply.compare).sweep()


async def test_a_sweep_mends_what_redis_has_lost(real: Stores) -> None:
    """Redis may lose the last second before a failure."""
    for event in (extraction("early"), extraction("queued"), extraction("late", 1)):
        await real.process(event, real.stages()[Extraction])
    tasks = {entry.task.tweet.id: entry.task for entry in await real.queue.list()}
    assert set(tasks) == {"early", "queued", "late"}
    hides = [said("hide", post, 1, "suspended") for post in ("queued", "late")]
    await tell(real, said("erase", "early"), *hides, said("show", "late", 2))
    assert await listed(real) == ["late"]

    redis, keys = real.queue._script.redis, dict(zip(KEYS, real.queue._script.keys, strict=True))
    await redis.srem(keys["erased"], "early")
    await real.queue.add([tasks["early"]])
    await real.queue.show("queued")
    await real.queue.hide("late")
    assert sorted(await listed(real)) == ["early", "queued"]
    await sweep(real)
    assert await listed(real) == ["late"]
    assert (await real.queue.holds("early")).erased
    assert (await real.queue.holds("queued")).hidden
    before = list(real.nulls)
    await sweep(real)
    assert real.nulls == before, "there is nothing left to mend"


@pytest.mark.parametrize("known", [(), (said("scrub_geo", "ana"),)])
async def test_a_sweep_shows_no_post_whose_standing_is_lost(real: Stores, known: tuple[Lifecycle, ...]) -> None:
    """`known`: what the new index has by then. The events of the hide may be on their way, or after a snapshot."""
    for post in ("early", "queued"):
        await deliver(real, post)
    hides = said("hide", "early", 1, "suspended"), said("hide", "ana", 1, "suspended")
    await tell(real, *hides)
    index, client = real.subjects.name, real.subjects._client
    await client.indices.delete(index=f"{index}-1")
    await client.indices.delete_index_template(name=index)
    await real.subjects.prepare()
    await tell(real, *known)
    await sweep(real)
    assert await listed(real) == []
    held = await real.index.held(["early", "queued"])
    assert {name: document.hidden for name, document in held.items()} == {"early": True, "queued": True}
    await tell(real, *hides, said("show", "ana", 2), said("show", "early", 2))
    assert await listed(real) == ["early", "queued"]


@pytest.mark.parametrize(("kind", "cause"), [("erase", None), ("hide", "suspended")])
async def test_a_sweep_applies_events_of_the_author_to_posts_that_only_the_queue_holds(
    real: Stores, kind: Any, cause: Any
) -> None:
    await deliver(real)
    await lose(real, "early")
    await tell(real, said(kind, "ana", 1, cause))
    await sweep(real)
    assert await listed(real) == []
    assert (await real.queue.holds("early")).erased is (kind == "erase")


async def test_an_event_of_a_post_that_only_the_queue_holds_shows_nothing_of_a_hidden_author(real: Stores) -> None:
    await deliver(real)
    await tell(real, said("hide", "ana", 1, "suspended"))
    await lose(real, "early")
    await tell(real, said("show", "early", 2, "withheld"))
    assert await listed(real) == []
    await tell(real, said("show", "ana", 3, "suspended"), said("show", "early", 3))
    assert await listed(real) == ["early"]


async def test_a_post_that_comes_again_after_its_author_is_shown_is_asked_about(real: Stores) -> None:
    """The sweep of old posts leaves the mark of a hidden one, and its author is shown while nobody holds the post."""
    await deliver(real)
    await tell(real, said("hide", "ana", 1, "suspended"))
    assert await real.queue.forget({"early": 0}) == {"early"}
    await lose(real, "early")
    await tell(real, said("show", "ana", 2, "suspended"))
    await deliver(real)
    assert (await real.index.held(["early"]))["early"].hidden is False
    assert await listed(real) == ["early"]


async def test_an_author_who_is_shown_between_two_tries_of_a_write_stays_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try marks the task. The index takes the document at the second one."""
    stores = in_memory(random.Random(1))
    stages = stores.stages()
    await tell(stores, said("hide", "ana", 1, "suspended"))
    apply, write = stages[Extraction]._apply, stores.index.write
    after_writing = apply.after_writing

    async def busy(documents: Sequence[Document]) -> list[Outcome]:
        return [Outcome("retry", "503") for _ in documents]

    async def away(_: object) -> int:
        monkeypatch.setattr(stores.index, "write", write, raising=False)
        monkeypatch.setattr(apply, "after_writing", after_writing)
        await tell(stores, said("show", "ana", 2, "suspended"))
        raise Retry("Elasticsearch is away")

    monkeypatch.setattr(stores.index, "write", busy, raising=False)
    monkeypatch.setattr(apply, "after_writing", away)
    await stores.process(extraction("early"), stages[Extraction])
    assert await listed(stores) == ["early"]
