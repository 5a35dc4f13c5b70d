"""What the deliver stage writes and asks. The sinks are stubs here; test_replay has real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import REGISTRY

from core.events import Extraction, Mention, ReviewTask, Tweet
from core.terms import Sources, Terms
from sinks.index.document import Document, edit_of
from sinks.index.index import Outcome
from streams.agents.deliver import Deliver
from streams.pipeline.item import Item, Origin
from tests.streams.said import applying


class FirstWins:
    """An index that takes the first write of a version, and a queue that notes its tasks."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.tasks: list[ReviewTask] = []

    async def write(self, documents: Sequence[Document]) -> list[Outcome]:
        outcomes = []
        for document in documents:
            stale = document.id in self.documents and self.documents[document.id].version >= document.version
            outcomes.append(Outcome("stale" if stale else "written"))
            if not stale:
                self.documents[document.id] = document
        return outcomes

    async def texts(self, ids: Sequence[str]) -> dict[str, tuple[int, str | None]]:
        held = await self.held(ids)
        return {id: (edit_of(document.version), document.body["text"]) for id, document in held.items()}

    async def held(self, ids: Sequence[str]) -> dict[str, Document]:
        return {id: self.documents[id] for id in ids if id in self.documents}

    async def time_ms(self) -> int:
        return 0

    async def add(self, tasks: Sequence[ReviewTask], unquestioned: Sequence[Extraction], since_ms: int) -> int:
        self.tasks += tasks
        return len(tasks)


def mention(start: int, end: int, probability: float) -> Mention:
    text = "Ada met Bob"[start:end]
    return Mention(start=start, end=end, text=text, type="PER", probability=probability, aleatoric=0.1, epistemic=0.1)


def item(*mentions: Mention, candidates: tuple[Mention, ...] = ()) -> Item[Extraction]:
    tweet = Tweet(id="1", text="Ada met Bob")
    extraction = Extraction(
        tweet=tweet, mentions=mentions, candidates=candidates, model="m", model_version=1, threshold=0.9
    )
    return Item(Origin("extractions", 0, 0, b"1", b"{}", 0.0), parsed=extraction)


def extracted(last_digit: float) -> Item[Extraction]:
    return item(mention(0, 3, 0.99 + last_digit), mention(8, 11, 0.4))


def routed() -> list[float]:
    """Returns the mentions counted so far, by route."""
    routes = ("index", "review", "candidate", "possible")
    return [REGISTRY.get_sample_value("mner_mentions_total", {"route": route}) or 0.0 for route in routes]


async def test_two_extractions_that_differ_in_the_last_digit_make_one_task() -> None:
    sinks: Any = FirstWins()
    first, second = extracted(0.0), extracted(1e-6)
    await Deliver(sinks, sinks, applying(sinks, sinks), None, None).process([first, second])
    assert len(sinks.tasks) == 1
    assert sinks.tasks[0].confident[0].probability == 0.99


async def test_a_post_with_one_candidate_makes_a_task_and_is_indexed_without_it() -> None:
    sinks: Any = FirstWins()
    await Deliver(sinks, sinks, applying(sinks, sinks), None, None).process([item(candidates=(mention(8, 11, 0.3),))])
    (task,) = sinks.tasks
    assert [(question.mention.text, question.is_candidate) for question in task.questions] == [("Bob", True)]
    assert task.confident == ()
    assert sinks.documents["1"].body["mentions"] == []
    assert b"Bob" not in sinks.documents["1"].encoded.replace(b"Ada met Bob", b"")


async def test_a_candidate_below_the_configured_threshold_is_not_asked_about() -> None:
    sinks: Any = FirstWins()
    await Deliver(sinks, sinks, applying(sinks, sinks), None, 0.31).process([item(candidates=(mention(8, 11, 0.3),))])
    assert sinks.tasks == []


async def test_a_repeated_extraction_is_counted_once_by_route() -> None:
    sinks: Any = FirstWins()
    deliver, before = Deliver(sinks, sinks, applying(sinks, sinks), None, None), routed()
    for _ in range(2):
        await deliver.process([item(mention(0, 3, 0.99), candidates=(mention(8, 11, 0.3),))])
    assert [now - then for now, then in zip(routed(), before, strict=True)] == [1, 0, 1, 1]


async def test_a_spot_check_is_indexed_and_asked_about() -> None:
    sinks: Any = FirstWins()
    deliver = Deliver(sinks, sinks, applying(sinks, sinks), None, None, spot_check_share=1.0)
    for _ in range(2):
        await deliver.process([extracted(0.0)])
    assert [mention["text"] for mention in sinks.documents["1"].body["mentions"]] == ["Ada"]
    assert len({task.model_dump_json() for task in sinks.tasks}) == 1
    assert [(asked.mention.text, asked.is_audit) for asked in sinks.tasks[0].questions] == [
        ("Bob", False),
        ("Ada", True),
    ]
    assert sinks.tasks[0].confident == ()


async def test_a_source_whose_text_nobody_may_see_has_no_spot_checks() -> None:
    def unasked() -> float:
        return REGISTRY.get_sample_value("mner_unasked_total", {"reason": "terms"}) or 0.0

    sinks: Any = FirstWins()
    terms = Sources({"unknown": Terms(may_train=False, may_show_text=False, delete_within_hours=24)})
    before = unasked()
    deliver = Deliver(sinks, sinks, applying(sinks, sinks), None, None, terms, spot_check_share=1.0)
    await deliver.process([extracted(0.0)])
    assert sinks.tasks == []
    assert [mention["text"] for mention in sinks.documents["1"].body["mentions"]] == ["Ada"]
    assert unasked() - before == 1
