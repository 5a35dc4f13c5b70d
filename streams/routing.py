"""Which mentions go to the index and which to a person, and why. Pure: the same extraction routes the same way.

A mention whose probability reaches the threshold is confident. The threshold is the checkpoint's, chosen on
validation data for a promised precision, unless `MNER_THRESHOLD` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.events import Doubt, Extraction, Mention, Question, ReviewTask

DISAGREE = 0.25
"""Two views whose probabilities for the mention differ by this much disagree."""


@dataclass(frozen=True)
class Routing:
    """`task` is none when nothing is uncertain."""

    confident: tuple[Mention, ...]
    task: ReviewTask | None


def route(extraction: Extraction, threshold: float | None = None) -> Routing:
    """Split an extraction at `threshold` (default: its own)."""
    limit = extraction.threshold if threshold is None else threshold
    confident = tuple(mention for mention in extraction.mentions if mention.probability >= limit)
    uncertain = [mention for mention in extraction.mentions if mention.probability < limit]
    if not uncertain:
        return Routing(confident, None)
    questions = tuple(Question(mention=mention, doubts=doubts(mention, limit)) for mention in uncertain)
    tweet = extraction.tweet
    task = ReviewTask(
        id=f"{tweet.id}:{tweet.edit}:{extraction.model}:{extraction.release}",
        tweet=tweet,
        questions=questions,
        confident=confident,
        image=extraction.image,
        context=extraction.context,
        model=extraction.model,
        release=extraction.release,
        threshold=limit,
        uncertainty=round(max(1.0 - mention.probability for mention in uncertain), 6),
    )
    return Routing(confident, task)


def doubts(mention: Mention, threshold: float) -> tuple[Doubt, ...]:
    """Why this mention is uncertain, the gravest first; the low probability itself comes last, as it is always so."""
    found = []
    opinions = sorted(mention.views.items(), key=lambda view: view[1].probability)
    if len(opinions) > 1 and opinions[-1][1].probability - opinions[0][1].probability >= DISAGREE:
        (less, low), (more, high) = opinions[0], opinions[-1]
        sides = f"{more} says {mention.type} with {high.probability:.0%}, {less} with {low.probability:.0%}"
        found.append(Doubt(kind="views_disagree", sentence=f"the views disagree: {sides}"))
    variances = f"epistemic {mention.epistemic:.2f}, aleatoric {mention.aleatoric:.2f}"
    if mention.epistemic > mention.aleatoric:
        found.append(Doubt(kind="little_evidence", sentence=f"the model has seen little like it: {variances}"))
    elif mention.aleatoric > 0:
        found.append(Doubt(kind="ambiguous", sentence=f"the wording itself is ambiguous: {variances}"))
    sentence = f"{mention.probability:.0%} sure that this is {mention.type}; the threshold is {threshold:.0%}"
    found.append(Doubt(kind="low_probability", sentence=sentence))
    return tuple(found)
