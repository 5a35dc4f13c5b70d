"""Makes the stores follow what platforms said about posts: index, queue, compacted topics, and this machine's caches.

An erased post leaves a marker in the index, a mark in the queue, and records without a value in the compacted topics,
so that compaction drops the older records of its key. A hidden post keeps its document, with a flag, and its task,
which nobody sees.

Several workers may apply standings to one post at the same time, and others may write its document. Each reads the
standings again after its last write, and starts anew if they have changed. So the last write to each store follows the
newest standings (docs/lifecycle.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from core.errors import Retry
from core.events import Tweet
from core.standing import Fate, Published, Standing
from sinks.index.document import PUBLISHED, Document, marker
from sinks.index.index import Index, Outcome
from sinks.index.subjects import Subjects
from sinks.queue.queue import ReviewQueue


class Caches(Protocol):
    """Caches of images and contexts. `forget` drops what these URLs served, and never raises."""

    async def forget(self, urls: Iterable[str]) -> None: ...


SendNull = Callable[[str], Awaitable[None]]
"""Sends a record with this key and no value to each compacted topic."""


class Apply:
    """Applies the standings of posts and authors to the stores."""

    def __init__(
        self, index: Index, queue: ReviewQueue, subjects: Subjects, send_null: SendNull, caches: Caches
    ) -> None:
        self._index = index
        self._queue = queue
        self._subjects = subjects
        self._send_null = send_null
        self._caches = caches

    async def fates(self, posts: Sequence[Published]) -> list[Fate]:
        """Returns the fate of each post as of now."""
        return await self._subjects.fates(posts)

    async def erase(self, posts: Iterable[str], media: Iterable[str]) -> int:
        """Erases the posts from every store, and what the URLs in `media` served. Returns the number of changes."""
        names = list(dict.fromkeys(posts))
        if not names:
            return 0
        await self._caches.forget(media)
        changed = await self._queue.erase(*names)
        await asyncio.gather(*(self._send_null(name) for name in names))
        # Last, since a marker has no author and no URLs: a worker that ends before it finds the post again.
        markers = [marker(name) for name in names]
        return changed + _written(markers, await self._index.write(markers))

    async def after_writing(self, written: Mapping[Published, Fate | None]) -> int:
        """Applies the standings to posts that were just written. Returns the number of changes.

        `written`: the fate in the document that the index took, or None if it kept another one. A post needs nothing
        more if this is still its fate and the queue has the mark for it. The queue may have kept an old mark.
        """
        standings = await self._read(written)
        said = [post for post in written if not standings.keys().isdisjoint(post.subjects)]
        if not said:
            return 0
        marks = [one.hidden for one in await self._queue.holdings([post.id for post in said])]
        return await self.apply(
            post.id
            for post, is_marked in zip(said, marks, strict=True)
            for fate in [post.fate(standings)]
            if fate != written[post] or is_marked is not (fate == "hidden")
        )

    async def compare(self, posts: Sequence[Tweet]) -> int:
        """Applies the standings to those of these posts that index or queue show in another way.

        The queue keeps these posts. Redis may have lost what was last written to it. Returns the number of changes.
        """
        ids = list(dict.fromkeys(post.id for post in posts))
        held = await self._index.held(ids, [*PUBLISHED, "hidden"])
        published = {post.id: held[post.id].published if post.id in held else Published.of(post) for post in posts}
        standings = await self._read(published.values())
        marks = [one.hidden for one in await self._queue.holdings(ids)]
        return await self.apply(
            name
            for name, is_marked in zip(ids, marks, strict=True)
            if _differs(published[name], standings, held.get(name), is_marked)
        )

    async def _read(self, posts: Iterable[Published]) -> dict[str, Standing]:
        return await self._subjects.read(subject for post in posts for subject in post.subjects)

    async def apply(self, posts: Iterable[str]) -> int:
        """Applies the standings to these posts, until they stay the same. Returns the number of changes."""
        waiting, changed = list(dict.fromkeys(posts)), 0
        while waiting:
            held = await self._index.held(waiting)
            absent = [name for name in waiting if name not in held]
            queued = {name: task.tweet for name, task in (await self._queue.tasks(absent)).items()} if absent else {}
            known = {name: Published.of(post) for name, post in queued.items()}
            known |= {name: document.published for name, document in held.items()}
            published = [known.get(name, Published(name)) for name in waiting]
            fates = dict(zip(published, await self.fates(published), strict=True))
            fates |= {post: "erased" for post in published if post.id in held and held[post.id].erased}
            late, changes = await self._follow(fates, held, queued)
            changed += changes
            lasting = [post for post, fate in fates.items() if fate != "erased"]
            now = dict(zip(lasting, await self.fates(lasting), strict=True))
            waiting = [post.id for post in lasting if post.id in late or now[post] != fates[post]]
        return changed

    async def _follow(
        self, fates: Mapping[Published, Fate], held: Mapping[str, Document], queued: Mapping[str, Tweet]
    ) -> tuple[set[str], int]:
        """Gives each post its fate. Returns the posts whose document has been replaced meanwhile, and the number of
        changes. `queued`: posts that only the queue holds.

        Of a post that no store knows, nothing is written to the stores. If it comes later, it finds the standing. If it
        is erased, its older records must still go from the compacted topics: a worker may have refused them.
        """
        unknown = await self._unknown([post.id for post in fates if post.id not in held])
        gone = [post.id for post, fate in fates.items() if fate == "erased" and post.id in unknown]
        await asyncio.gather(*(self._send_null(name) for name in gone))
        erased, hidden, visible = (
            [post.id for post, fate in fates.items() if fate == wanted and post.id not in unknown]
            for wanted in ("erased", "hidden", "visible")
        )
        media = [url for name in erased if name in held for url in held[name].body.get("media", ())]
        media += [each.url for name in erased if name in queued for each in queued[name].media]
        changed = await self.erase(erased, media)
        turned = [
            held[name].with_hidden(hide)
            for names, hide in ((hidden, True), (visible, False))
            for name in names
            if name in held and held[name].hidden is not hide
        ]
        written = _written(turned, await self._index.rewrite(turned)) if turned else 0
        if hidden:
            changed += await self._queue.hide(*hidden)
        if visible:
            changed += await self._queue.show(*visible)
        late = {document.id for document in turned} if written < len(turned) else set()
        return late, changed + written

    async def _unknown(self, absent: Sequence[str]) -> set[str]:
        """Returns which of these posts, which the index does not hold, the queue does not know either."""
        holdings = await self._queue.holdings(absent) if absent else []
        return {post for post, one in zip(absent, holdings, strict=True) if not (one.content or one.erased)}


def _differs(post: Published, standings: Mapping[str, Standing], document: Document | None, is_marked: bool) -> bool:
    """Whether index or queue show the post in another way than the standings say. `is_marked`: as hidden in the queue.

    A hidden post may be shown again only after a `show`. Without one, the standing with the hide was lost.
    """
    fate = post.fate(standings)
    if fate == "erased" or (document is not None and document.erased):
        return True
    hide = fate == "hidden"
    if is_marked is hide and (document is None or document.hidden is hide):
        return False
    return hide or any(standings[subject].shown for subject in post.subjects if subject in standings)


def _written(documents: Sequence[Document], outcomes: Sequence[Outcome]) -> int:
    """Returns how many documents were written. In place of each other one, the index has a newer one."""
    for document, outcome in zip(documents, outcomes, strict=True):
        if outcome.kind == "retry":
            raise Retry(f"post {document.id} is not written yet: {outcome.reason}")
        if outcome.kind == "rejected":
            raise outcome.error(f"the index refused {document.id}: {outcome.reason}")
    return sum(outcome.kind == "written" for outcome in outcomes)
