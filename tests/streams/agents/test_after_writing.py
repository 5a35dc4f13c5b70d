"""After a write, the standings are applied only where index or queue do not follow them yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.events import Decision
from core.lifecycle import Lifecycle
from sinks.index.document import Document
from sinks.index.index import Outcome
from tests.streams.agents.test_lifecycle import Event, decided, extraction, in_memory, said
from tests.streams.agents.test_sweep import deliver, listed, tell

STORES = {"index": ("held", "rewrite"), "queue": ("tasks", "hide", "show", "erase")}
"""Store -> what `Apply.apply` uses of it."""


@pytest.mark.parametrize(
    ("event", "marks"),
    [(said("show", "ana", 1), []), (said("hide", "ana", 1, "suspended"), ["hide", "hide"])],
)
async def test_an_old_event_of_the_author_costs_no_more_writes(
    monkeypatch: pytest.MonkeyPatch, event: Lifecycle, marks: list[str]
) -> None:
    """On Bluesky, many authors have a `show`. The mark of a hidden post is set before its task or decision comes."""
    stores, used = in_memory(None), list[str]()
    await tell(stores, event)

    def watch(store: Any, name: str) -> None:
        method = getattr(store, name)

        async def noted(*args: Any) -> Any:
            used.extend([name] * bool(args[0]))
            return await method(*args)

        monkeypatch.setattr(store, name, noted, raising=False)

    for store, names in STORES.items():
        for name in names:
            watch(getattr(stores, store), name)
    await deliver(stores)
    await stores.process(decided("early", 0), stores.stages()[Decision])
    assert used == marks
    assert (await stores.index.held(["early"]))["early"].hidden is bool(marks)


@pytest.mark.parametrize("event", [extraction("early"), decided("early", 0)])
async def test_a_document_that_a_killed_worker_wrote_by_older_standings_is_mended(
    monkeypatch: pytest.MonkeyPatch, event: Event
) -> None:
    """The next worker gets the same record. Its write is stale, so the flag in the index is not the one it wrote."""
    stores = in_memory(None)
    write = stores.index.write

    async def killed(documents: Sequence[Document]) -> list[Outcome]:
        monkeypatch.setattr(stores.index, "write", write, raising=False)
        await tell(stores, said("hide", "ana", 1, "suspended"))
        await write(documents)
        raise KeyboardInterrupt

    monkeypatch.setattr(stores.index, "write", killed, raising=False)
    with pytest.raises(KeyboardInterrupt):
        await stores.process(event, stores.stages()[type(event)])
    await stores.process(event, stores.stages()[type(event)])
    assert (await stores.index.held(["early"]))["early"].hidden
    assert await listed(stores) == []
