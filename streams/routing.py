"""Which mentions go to the index and which to a person, and why. Pure: the same extraction routes the same way.

A mention whose probability reaches the threshold is confident. The threshold is the checkpoint's, chosen on
validation data for a promised precision, unless `MNER_THRESHOLD` says otherwise. What the model did not choose but
holds for possible is asked about too, from the threshold `MNER_CANDIDATE_THRESHOLD` on, and is never confident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.events import Extraction, Mention, Question, Reason, ReviewTask, overlaps
from model.mentions import candidates_to_ask

DISAGREE = 0.25
"""Two views whose probabilities for the mention differ by this much disagree."""

RIVAL = 40
"""Characters of a rival that a doubt quotes: a mention may be as long as its tweet."""


@dataclass(frozen=True)
class Routing:
    """`task` is none when nothing is uncertain."""

    confident: tuple[Mention, ...]
    task: ReviewTask | None


def route(extraction: Extraction, threshold: float | None = None, candidate_threshold: float | None = None) -> Routing:
    """Splits an extraction at `threshold` and asks about candidates from `candidate_threshold` on.

    None stands for the threshold that the extraction was made with.
    """
    limit = extraction.threshold if threshold is None else threshold
    chosen = extraction.mentions
    others = [
        one
        for one in extraction.candidates
        if candidate_threshold is None or (candidate_threshold < 1 and one.probability >= candidate_threshold)
    ]
    confident = tuple(mention for mention in chosen if mention.is_confident(limit))
    uncertain = [mention for mention in chosen if not mention.is_confident(limit)]
    questions = (
        *(Question(mention=one, reasons=review_reasons(one, others, limit)) for one in uncertain),
        *(
            Question(mention=one, reasons=candidate_reasons(one, others, chosen), is_candidate=True)
            for one in candidates_to_ask(chosen, others)
        ),
    )
    if not questions:
        return Routing(confident, None)
    tweet = extraction.tweet
    task = ReviewTask(
        id=f"{tweet.id}:{tweet.edit}:{extraction.model}:{extraction.model_version}",
        tweet=tweet,
        questions=questions,
        confident=confident,
        image=extraction.image,
        context=extraction.context,
        model=extraction.model,
        model_version=extraction.model_version,
        threshold=limit,
        candidate_threshold=max(extraction.candidate_threshold, candidate_threshold or 0.0)
        if any(question.is_candidate for question in questions)
        else 1.0,
        uncertainty=round(max(question.uncertainty for question in questions), 6),
    )
    return Routing(confident, task)


def review_reasons(mention: Mention, candidates: Sequence[Mention], threshold: float) -> tuple[Reason, ...]:
    """Why this mention is uncertain, the gravest first; the low probability itself comes last, as it is always so."""
    sentence = f"{mention.probability:.0%} sure that this is {mention.type}; the threshold is {threshold:.0%}"
    return (*_reasons(mention, candidates), Reason(kind="low_probability", sentence=sentence))


def candidate_reasons(mention: Mention, candidates: Sequence[Mention], chosen: Sequence[Mention]) -> tuple[Reason, ...]:
    """That the model did not choose this mention and what it chose instead; then, as above, why it is unsure."""
    sentence = f"the model did not choose this, but holds it for {mention.probability:.0%} probable"
    rivals = [
        f"“{_cut(other.text)}” {other.type} ({other.probability:.0%})" for other in chosen if overlaps(mention, other)
    ]
    if rivals:
        sentence += f"; it chose {', '.join(rivals)}, and both cannot be"
    return Reason(kind="maybe_missed", sentence=sentence), *_reasons(mention, candidates)


def _cut(text: str) -> str:
    return text if len(text) <= RIVAL else text[: RIVAL - 1] + "…"


def _reasons(mention: Mention, candidates: Sequence[Mention]) -> list[Reason]:
    """`candidates`: where it has this mention's words under another type, that is a hint: one span is one question."""
    found = []
    opinions = sorted(mention.views.items(), key=lambda view: view[1].probability)
    if len(opinions) > 1 and opinions[-1][1].probability - opinions[0][1].probability >= DISAGREE:
        (less, low), (more, high) = opinions[0], opinions[-1]
        sides = f"{more} says {mention.type} with {high.probability:.0%}, {less} with {low.probability:.0%}"
        found.append(Reason(kind="views_disagree", sentence=f"the views disagree: {sides}"))
    variances = f"epistemic {mention.epistemic:.2f}, aleatoric {mention.aleatoric:.2f}"
    if mention.epistemic > mention.aleatoric:
        found.append(Reason(kind="little_evidence", sentence=f"the model has seen little like it: {variances}"))
    elif mention.aleatoric > 0:
        found.append(Reason(kind="ambiguous", sentence=f"the wording itself is ambiguous: {variances}"))
    words = mention.start, mention.end
    same = [other for other in candidates if (other.start, other.end) == words and other.type != mention.type]
    if same:
        types = " or ".join(f"{other.type} ({other.probability:.0%})" for other in same)
        found.append(Reason(kind="other_type", sentence=f"it may also be {types}"))
    return found
