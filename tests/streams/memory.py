"""An index and a queue in memory, with the rules of the real ones, for tests that run very often.

`tests/streams/agents/test_lifecycle.py` runs the same cases on both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from core.events import Extraction, ReviewTask
from sinks.index.document import Document, edit_of
from sinks.index.index import Outcome
from sinks.queue.values import Counts, Entry, Holding

Pause = Callable[[], Awaitable[None]]


class MemoryIndex:
    """`pause` is awaited before and after each operation, so that others run in between."""

    def __init__(self, pause: Pause) -> None:
        self.documents: dict[str, Document] = {}
        self._pause = pause

    async def write(self, documents: Sequence[Document], *, again: bool = False) -> list[Outcome]:
        await self._pause()
        outcomes = []
        for document in documents:
            held = self.documents.get(document.id)
            newer = held is None or document.version > held.version or (again and document.version == held.version)
            outcomes.append(Outcome("written" if newer else "stale"))
            if newer:
                self.documents[document.id] = document
        await self._pause()
        return outcomes

    async def rewrite(self, documents: Sequence[Document]) -> list[Outcome]:
        return await self.write(documents, again=True)

    async def held(self, names: Sequence[str], _: Sequence[str] = ()) -> dict[str, Document]:
        await self._pause()
        held = {name: self.documents[name] for name in names if name in self.documents}
        await self._pause()
        return held

    async def texts(self, names: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        held = await self.held(names)
        return {name: (edit_of(document.version), document.body.get("text")) for name, document in held.items()}

    async def posts_of(self, author: str) -> AsyncIterator[list[str]]:
        await self._pause()
        of_author = [d.id for d in self.documents.values() if d.body.get("author", {}).get("id") == author]
        await self._pause()
        if of_author:
            yield of_author


class MemoryQueue:
    """Like `MemoryIndex`, for the queue."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._ages: dict[str, tuple[int, int]] = {}
        self._tasks: dict[str, ReviewTask] = {}
        self._decided: dict[str, tuple[int, int, str]] = {}
        self._hidden: set[str] = set()
        self._erased: set[str] = set()

    async def time_ms(self) -> int:
        return 0

    async def add(self, tasks: Sequence[ReviewTask], unquestioned: Sequence[Extraction] = (), _: int = 0) -> int:
        for extraction in unquestioned:
            self._extracted(extraction.tweet.id, (extraction.tweet.edit, extraction.model_version), None)
        for task in tasks:
            self._extracted(task.tweet.id, (task.tweet.edit, task.model_version), task)
        await self._pause()
        return 0

    def _extracted(self, name: str, age: tuple[int, int], task: ReviewTask | None) -> None:
        decided, present = self._decided.get(name), self._ages.get(name)
        if name in self._erased or (decided and decided[0] >= age[0]) or (present and present >= age):
            return
        self._ages[name] = age
        self._tasks.pop(name, None)
        if task:
            self._tasks[name] = task

    async def settle(self, task: ReviewTask, stamp_ms: int, *, keep: bool = True) -> bool:
        await self._pause()
        name, edit = task.tweet.id, task.tweet.edit
        if self._decides(name, (edit, stamp_ms, "settled")) and self._ages.get(name, (edit + 1, 0))[0] <= edit:
            self._tasks.pop(name, None)
            self._ages.pop(name)
        return True

    async def reopen(self, task: ReviewTask, stamp_ms: int, *, is_copy: bool = False) -> bool:
        await self._pause()
        name, edit = task.tweet.id, task.tweet.edit
        if self._decides(name, (edit, stamp_ms, "retracted")) and self._ages.get(name, (edit, 0))[0] <= edit:
            self._tasks[name], self._ages[name] = task, (edit, task.model_version)
        return True

    def _decides(self, name: str, decision: tuple[int, int, str]) -> bool:
        if name in self._erased or (name in self._decided and self._decided[name][:2] >= decision[:2]):
            return False
        self._decided[name] = decision
        return True

    async def hide(self, *names: str) -> int:
        await self._pause()
        fresh = set(names) - self._hidden - self._erased
        self._hidden |= fresh
        await self._pause()
        return len(fresh)

    async def show(self, *names: str) -> int:
        await self._pause()
        shown = self._hidden & set(names)
        self._hidden -= shown
        await self._pause()
        return len(shown)

    async def erase(self, *names: str) -> int:
        await self._pause()
        fresh = set(names) - self._erased
        self._erased |= fresh
        for name in names:
            for held in (self._ages, self._tasks, self._decided):
                held.pop(name, None)
            self._hidden.discard(name)
        await self._pause()
        return len(fresh)

    async def holds(self, name: str) -> Holding:
        marks = (name in held for held in (self._decided, self._hidden, self._erased))
        return Holding(name in self._tasks, False, *marks)

    async def holdings(self, names: Sequence[str]) -> list[Holding]:
        await self._pause()
        return [await self.holds(name) for name in names]

    async def tasks(self, names: Sequence[str]) -> dict[str, ReviewTask]:
        await self._pause()
        return {name: self._tasks[name] for name in names if name in self._tasks}

    async def kept(self) -> AsyncIterator[list[ReviewTask]]:
        await self._pause()
        yield list(self._tasks.values())

    async def list(self, limit: int = 20) -> list[Entry]:
        return [Entry(task) for name, task in sorted(self._tasks.items()) if name not in self._hidden][:limit]

    async def counts(self) -> Counts:
        settled = sum(kind == "settled" for _, _, kind in self._decided.values())
        return Counts(len(await self.list()), 0, settled)
