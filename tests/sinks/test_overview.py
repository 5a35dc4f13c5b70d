"""The overview counts on a real Elasticsearch what was written, and nothing of posts that are gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from core.errors import UserError
from core.events import Action, Decision, ImageResult, Mention, Question, Reason, ReviewTask, Tweet, Verdict
from sinks.index.document import Document, from_decision, from_extraction, marker
from sinks.index.index import Index
from sinks.overview import MAX_STEPS, Overview, Period, SourceDay, read
from sinks.queue.values import Counts
from sinks.share import Share
from tests.sinks.values import MODEL_VERSION, MOMENT, extraction, mention, task, tweet

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TODAY = Period(NOON - timedelta(hours=4), NOON)
TRAINED = datetime.fromtimestamp(MODEL_VERSION, UTC)

ANA = mention("Ana", "PER", probability=0.4)
PARIS = mention("#Paris", probability=0.9)


def post(name: str, hours: float = 0, source: str = "file", **fields: Any) -> Tweet:
    """Returns a post that was received `hours` before noon."""
    return tweet(name, source=source, received_at=NOON - timedelta(hours=hours), **fields)


def read_post(of: Tweet, typicality: float | None = None, reason: str | None = None, status: Any = None) -> Document:
    image = ImageResult(status=status or ("failed" if reason else "none"), reason=reason)
    return from_extraction(extraction(of, typicality=typicality, image=image), [])


def verdict(action: Action, before: Mention | None = ANA, **flags: bool) -> Verdict:
    after = {"accept": before, "retype": before and before.model_copy(update={"type": "ORG"}), "add": PARIS}
    return Verdict(action=action, before=before, after=after.get(action), **flags)


def decided(
    of: Tweet,
    *verdicts: Verdict,
    days: float = 1,
    reviewer: str = "ana",
    model_version: int = MODEL_VERSION,
    **more: Any,
) -> Document:
    """Returns the document of a decision, `days` after the training. The task asks about each `before` that is Ana."""
    asked = tuple(
        Question(mention=each.before, reasons=(Reason(kind="ambiguous", sentence="."),))
        for each in verdicts
        if each.before is not None and each.before.text == "Ana"
    )
    about: ReviewTask = task(of.id, model_version=model_version).model_copy(update={"tweet": of, "questions": asked})
    made = Decision(
        id="d", task=about, mentions=(), reviewer=reviewer, decided_at=TRAINED + timedelta(days=days), verdicts=verdicts
    )
    return from_decision(made.model_copy(update=more))


def audited(document: Document) -> Document:
    """Returns the document with its verdicts as verdicts on mentions that were drawn at random."""
    verdicts = [each | {"is_audit": True} for each in document.body["verdicts"]]
    return replace(document, body=document.body | {"verdicts": verdicts})


def bulk(document: Document) -> Document:
    return replace(document, body=document.body | {"bulk_id": "1-0123456789abcdef"})


async def seen(index: Index, documents: list[Document], period: Period = TODAY, version: int | None = None) -> Overview:
    assert {outcome.kind for outcome in await index.write(documents)} == {"written"}
    await index.refresh()
    return await read(index, period, version)


async def test_an_empty_index_has_an_overview(index: Index) -> None:
    empty = await seen(index, [marker("gone")])
    assert (empty.posts, empty.decided, empty.images, empty.typicality, empty.by_type) == (0, 0, {}, (), {})
    assert [count for _, count in empty.timeline] == [0, 0, 0, 0]
    assert (empty.audited.value, empty.to_review(Counts(0, 0, 0)).value) == (None, None)


async def test_posts_are_counted_by_the_time_they_were_received(index: Index) -> None:
    hours = {"a": 3.9, "b": 3.5, "c": 0.1, "at noon": 0, "before": 4.1}
    found = await seen(index, [read_post(post(name.replace(" ", "-"), ago)) for name, ago in hours.items()])
    assert found.posts == 5
    assert found.timeline == tuple((NOON - timedelta(hours=4 - step), count) for step, count in enumerate([2, 0, 0, 1]))
    minutes = await read(index, Period(NOON - timedelta(minutes=10), NOON, "minute"))
    assert [count for _, count in minutes.timeline] == [0] * 4 + [1] + [0] * 5


async def test_images_are_counted_by_status_and_failures_by_kind(index: Index) -> None:
    reasons = ["not_found: 404", "not_found: 410", "unreachable: evil.example\u2028"]
    documents = [read_post(post(f"f{place}", 1), reason=reason) for place, reason in enumerate(reasons)]
    documents += [read_post(post("n", 1)), read_post(post("ok", 1), status="ok")]
    documents += [read_post(post("old", 9), reason="timeout: 10 s")]
    found = await seen(index, documents)
    assert found.images == {"failed": 3, "none": 1, "ok": 1}
    assert found.failures == {"not_found": 2, "unreachable": 1}


async def test_typicality_is_told_by_source_and_day(index: Index) -> None:
    figures = [("file", 1, 0.05), ("file", 2, 0.35), ("file", 30, 0.5), ("x", 1, 0.0), ("x", 1, None), ("x", 400, 0.1)]
    documents = [read_post(post(str(place), ago, source), each) for place, (source, ago, each) in enumerate(figures)]
    found = await seen(index, documents)
    today, yesterday = date(2026, 11, 21), date(2026, 11, 20)
    means = [replace(day, mean=round(day.mean, 6)) for day in found.typicality]
    assert means == [
        SourceDay("file", yesterday, 1, 0.5, 0),
        SourceDay("file", today, 2, 0.2, 1),
        SourceDay("x", today, 1, 0.0, 1),
    ]
    assert means[1].share == Share(1, 2)


async def test_precision_counts_what_was_asked_and_no_candidates_audits_or_copies(index: Index) -> None:
    org = ANA.model_copy(update={"type": "ORG"})
    documents = [
        decided(post("1"), verdict("accept"), verdict("accept", PARIS), verdict("add", None)),
        decided(post("2", source="x"), verdict("retype")),
        decided(post("3", source="x"), verdict("reject"), verdict("accept", org)),
        decided(post("4"), verdict("accept", is_candidate=True)),
        decided(post("5"), verdict("accept"), copy_of="1"),
        audited(decided(post("6"), verdict("accept"), verdict("accept"), verdict("reject"))),
        decided(post("7"), verdict("accept"), model_version=MODEL_VERSION - 5),
        decided(post("8"), verdict("reject"), kind="retract"),
    ]
    found = await seen(index, documents, version=MODEL_VERSION)
    assert found.by_type == {"PER": Share(1, 3), "ORG": Share(1, 1)}
    assert found.by_source == {"x": Share(1, 3), "file": Share(1, 1)}
    assert found.audited == Share(2, 3)
    of_all = await read(index, TODAY)
    assert (of_all.by_type["PER"], of_all.by_source["file"]) == (Share(2, 4), Share(2, 2))


async def test_decisions_are_counted_by_checkpoint_reviewer_and_action(index: Index) -> None:
    documents = [
        decided(post("1"), verdict("accept"), verdict("accept", PARIS), days=-1),
        decided(post("2"), verdict("reject"), days=2),
        bulk(decided(post("3"), verdict("accept"), days=3, reviewer="bob")),
        decided(post("4"), days=3),
        read_post(post("5")),
        read_post(post("6")),
    ]
    found = await seen(index, documents, version=MODEL_VERSION)
    assert (found.posts, found.decided, found.new, found.bulk) == (6, 4, 3, 1)
    assert found.reviewers == {"ana": {"accept": 2, "reject": 1}, "bob": {"accept": 1}}
    assert (await read(index, TODAY)).new == 4
    assert found.to_review(Counts(open=1, leased=0, decided=9, copies=0)) == Share(5, 6)
    assert found.to_review(Counts(open=9, leased=0, decided=9)) == Share(6, 6), "the index may lag behind the queue"


async def test_nothing_counts_of_hidden_and_erased_posts(index: Index) -> None:
    one, two, rest = (decided(post(name, 1), verdict("accept")) for name in "123")
    await seen(index, [one, two, rest])
    await index.rewrite([one.with_hidden(True)])
    found = await seen(index, [marker("2")])
    assert (found.posts, found.decided, found.by_type) == (1, 1, {"PER": Share(1, 1)})
    assert sum(count for _, count in found.timeline) == sum(found.images.values()) == 1


@pytest.mark.parametrize(
    "hours", [pytest.param(0, id="empty"), pytest.param(-1, id="backwards"), pytest.param(MAX_STEPS + 1, id="long")]
)
def test_a_period_has_a_bounded_number_of_steps(hours: int) -> None:
    with pytest.raises(UserError, match=f"1 to {MAX_STEPS} hours"):
        Period(MOMENT, MOMENT + timedelta(hours=hours))
