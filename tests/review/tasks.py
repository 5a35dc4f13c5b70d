"""Tasks for the tests of the review."""

from __future__ import annotations

from typing import Any

from core.events import EntityType, ImageResult, Mention, Opinion, Question, Reason, ReviewTask, Tweet

TEXT = "RT @jay : outside of where George Zimmerman got shot . #NewYork 🗽"


def mention(words: str, entity_type: EntityType, probability: float = 0.5, text: str = TEXT, **fields: Any) -> Mention:
    start = text.index(words)
    return Mention(
        start=start,
        end=start + len(words),
        text=words,
        type=entity_type,
        probability=probability,
        aleatoric=0.3,
        epistemic=0.12,
        **fields,
    )


VIEWS = {
    "text": Opinion(probability=0.72, aleatoric=0.3, epistemic=0.1, share=0.62),
    "text+image": Opinion(probability=0.31, aleatoric=0.2, epistemic=0.4, share=0.38),
}
REASONS = (
    Reason(kind="views_disagree", sentence="the views disagree: text says PER with 72%, text+image with 31%"),
    Reason(kind="low_probability", sentence="58% sure that this is PER; the threshold is 80%"),
)
MISSED = (Reason(kind="maybe_missed", sentence="the model did not choose this, but gives it a probability of 31%"),)
ZIMMERMAN = mention("George Zimmerman", "PER", 0.58, views=VIEWS)
NEW_YORK = mention("NewYork", "LOC", 0.41)
#: A candidate that overlaps the chosen George Zimmerman.
GEORGE = mention("George", "PER", 0.22)
#: A candidate that overlaps no mention.
SHOT = mention("shot", "MISC", 0.31)
JAY = mention("jay", "PER", 0.97)


def task(
    tweet_id: str = "1",
    questions: tuple[Mention, ...] = (ZIMMERMAN, NEW_YORK),
    confident: tuple[Mention, ...] = (JAY,),
    text: str = TEXT,
    uncertainty: float = 0.59,
    candidates: tuple[Mention, ...] = (),
    **fields: Any,
) -> ReviewTask:
    return ReviewTask(
        id=f"{tweet_id}:0:tiny:1",
        tweet=Tweet(id=tweet_id, text=text),
        questions=(
            *(Question(mention=asked, reasons=REASONS) for asked in questions),
            *(Question(mention=asked, reasons=MISSED, is_candidate=True) for asked in candidates),
        ),
        confident=confident,
        model="tiny",
        model_version=1,
        threshold=0.8,
        uncertainty=uncertainty,
        **fields,
    )


FAILED = ImageResult(status="failed", reason="HTTP 404", url="https://images.example.org/1.jpg")
