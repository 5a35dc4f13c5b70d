"""Events for the tests of the sinks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from core.events import Decision, EntityType, Extraction, Mention, Question, Reason, ReviewTask, Tweet

MOMENT = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
MODEL_VERSION = 1_763_700_000
TEXT = "Paris Hilton was seen in #Paris 🗼 by Ana"


def mention(text: str, entity_type: EntityType = "LOC", *, within: str = TEXT, **fields: Any) -> Mention:
    start = within.rindex(text)
    figures = {"probability": 0.9, "aleatoric": 0.1, "epistemic": 0.05} | fields
    return Mention(start=start, end=start + len(text), text=text, type=entity_type, **figures)


def tweet(tweet_id: str = "1", text: str = TEXT, edit: int = 0, **fields: Any) -> Tweet:
    return Tweet(id=tweet_id, text=text, edit=edit, created_at=MOMENT, **fields)


def extraction(of: Tweet, *mentions: Mention, model_version: int = MODEL_VERSION, **fields: Any) -> Extraction:
    return Extraction(tweet=of, mentions=mentions, model="tiny", model_version=model_version, threshold=0.8, **fields)


def task(
    tweet_id: str = "1",
    uncertainty: float = 0.5,
    *,
    edit: int = 0,
    model_version: int = MODEL_VERSION,
    text: str = TEXT,
) -> ReviewTask:
    asked = Mention(
        start=0, end=5, text=text[:5], type="LOC", probability=1 - uncertainty, aleatoric=0.2, epistemic=0.3
    )
    return ReviewTask(
        id=f"{tweet_id}:{edit}:tiny:{model_version}",
        tweet=tweet(tweet_id, text, edit),
        questions=(Question(mention=asked, reasons=(Reason(kind="little_evidence", sentence="seldom seen"),)),),
        model="tiny",
        model_version=model_version,
        threshold=0.8,
        uncertainty=uncertainty,
    )


def missed(tweet_id: str, uncertainty: float) -> ReviewTask:
    """Returns a task whose question is a candidate."""
    asked = Question(
        mention=mention("Ana", "PER", probability=uncertainty),
        reasons=(Reason(kind="maybe_missed", sentence="not chosen"),),
        is_candidate=True,
    )
    return task(tweet_id, uncertainty).model_copy(update={"questions": (asked,)})


def decision(
    about: ReviewTask, stamp_ms: int, *mentions: Mention, kind: Literal["settle", "retract"] = "settle"
) -> Decision:
    return Decision(
        id=f"d{stamp_ms}",
        kind=kind,
        task=about,
        mentions=mentions,
        reviewer="ana",
        decided_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp_ms),
    )
