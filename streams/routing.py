"""Decides which mentions go to the index and which to a person, and why.

The same extraction always gets the same routing. A mention whose probability reaches the threshold is confident. The
checkpoint contains the threshold, which was chosen on validation data for a promised precision. `MNER_THRESHOLD`
overrides it. A candidate goes to a person when its probability reaches `MNER_CANDIDATE_THRESHOLD`. It is never
confident.

A random share of the confident mentions, `MNER_SPOT_CHECK_SHARE`, goes to a person as well, as a spot check. The
mentions stay in the index. Their precision is that of all confident mentions, whatever their probability. So neither
the draw nor the place in the queue may depend on it: each has the weight `AUDIT_WEIGHT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from core.events import Extraction, Mention, Question, Reason, ReviewTask, Tweet, overlaps
from core.text import shorten
from model.mentions import candidates_to_ask

DISAGREE = 0.25
"""Two views disagree when their probabilities for a mention differ by at least this much."""

MAX_QUOTE = 40
"""Longest quote of a mention in a reason, in characters. A mention may be as long as its post."""

AUDIT_WEIGHT = 0.5
"""Uncertainty of a spot check. At their own, small one, the surest mentions would be asked last, and perhaps deleted
before (`MNER_INDEX_RETENTION_DAYS`). The sample would then say more of the others."""


@dataclass(frozen=True)
class Routing:
    """Where an extraction's mentions go. `task` is None when there is no question."""

    confident: tuple[Mention, ...]  # those that a spot check asks about, too
    task: ReviewTask | None
    unasked: int = 0  # questions that nobody is asked, since the terms of the source forbid it


def route(
    extraction: Extraction,
    threshold: float | None = None,
    candidate_threshold: float | None = None,
    spot_check_share: float = 0.0,
    *,
    follows: bool = False,
) -> Routing:
    """Splits the mentions at `threshold`, and asks about candidates whose probability reaches `candidate_threshold`.

    None means the threshold that the extraction was made with. A `candidate_threshold` of 1 asks about no candidate.
    `spot_check_share`: the share of confident mentions that a person is asked about. `follows`: whether `threshold`
    follows people's answers.
    """
    limit = extraction.threshold if threshold is None else threshold
    chosen = extraction.mentions
    candidates = [
        candidate
        for candidate in extraction.candidates
        if candidate_threshold is None or (candidate_threshold < 1 and candidate.probability >= candidate_threshold)
    ]
    confident = tuple(mention for mention in chosen if mention.is_confident(limit))
    uncertain = [mention for mention in chosen if not mention.is_confident(limit)]
    drawn = [mention for mention in chosen if is_drawn(extraction.tweet, mention, spot_check_share)]
    audited = [mention for mention in confident if mention in drawn]
    questions = (
        *(
            Question(mention=mention, reasons=review_reasons(mention, candidates, limit), is_drawn=mention in drawn)
            for mention in uncertain
        ),
        *(
            Question(mention=mention, reasons=candidate_reasons(mention, candidates, chosen), is_candidate=True)
            for mention in candidates_to_ask(chosen, candidates)
        ),
        *(
            Question(mention=mention, reasons=(audit_reason(mention),), is_audit=True, is_drawn=True)
            for mention in audited
        ),
    )
    if not questions:
        return Routing(confident, None)
    tweet = extraction.tweet
    task = ReviewTask(
        id=f"{tweet.id}:{tweet.edit}:{extraction.model}:{extraction.model_version}",
        tweet=tweet,
        questions=questions,
        confident=tuple(mention for mention in confident if mention not in audited),
        accounts=extraction.accounts,
        image=extraction.image,
        context=extraction.context,
        model=extraction.model,
        model_version=extraction.model_version,
        threshold=limit,
        checkpoint_threshold=extraction.threshold if follows else None,
        candidate_threshold=max(extraction.candidate_threshold, candidate_threshold or 0.0)
        if any(question.is_candidate for question in questions)
        else 1.0,
        uncertainty=round(max(AUDIT_WEIGHT if asked.is_audit else asked.uncertainty for asked in questions), 6),
        typicality=extraction.typicality,
    )
    return Routing(confident, task)


def is_drawn(tweet: Tweet, mention: Mention, share: float) -> bool:
    """Whether a spot check asks about this mention. Every reading of the post gives the same answer."""
    drawn = f"{tweet.id} {tweet.edit} {mention.start} {mention.end} {mention.type}"
    return int.from_bytes(sha256(drawn.encode()).digest()[:6]) < share * 2**48


def audit_reason(mention: Mention) -> Reason:
    sure = f"the model is {mention.probability:.0%} sure that this is {mention.type}"
    return Reason(kind="audit", sentence=f"a spot check: {sure}; it is drawn at random from the sure ones")


def review_reasons(mention: Mention, candidates: Sequence[Mention], threshold: float) -> tuple[Reason, ...]:
    """Returns the reasons why this mention is uncertain, the most serious first. The low probability comes last."""
    sure = f"the model is {mention.probability:.0%} sure that this is {mention.type}"
    sentence = f"{sure}; " + (
        f"the threshold is {threshold:.0%}" if threshold < 1 else "people are asked about every mention now"
    )
    return (*_reasons(mention, candidates), Reason(kind="low_probability", sentence=sentence))


def candidate_reasons(mention: Mention, candidates: Sequence[Mention], chosen: Sequence[Mention]) -> tuple[Reason, ...]:
    """Returns the reasons for asking about this candidate.

    They say that the model did not choose it, what the model chose instead, and why the model is unsure.
    """
    sentence = f"the model did not choose this, but gives it a probability of {mention.probability:.0%}"
    rivals = [
        f"“{shorten(other.text, MAX_QUOTE)}” {other.type} ({other.probability:.0%})"
        for other in chosen
        if overlaps(mention, other)
    ]
    if rivals:
        if len(rivals) == 1:
            conflict = "the two overlap, so at most one is right"
        else:
            conflict = "each overlaps this candidate, which is right only if all of them are wrong"
        sentence += f"; it chose {', '.join(rivals)}; {conflict}"
    return Reason(kind="maybe_missed", sentence=sentence), *_reasons(mention, candidates)


def _reasons(mention: Mention, candidates: Sequence[Mention]) -> list[Reason]:
    """Returns the reasons that apply to mentions and candidates alike.

    A candidate with the same span and another type becomes a reason, since a person gets one question for each span.
    """
    found = []
    opinions = sorted(mention.views.items(), key=lambda view: view[1].probability)
    if len(opinions) > 1 and opinions[-1][1].probability - opinions[0][1].probability >= DISAGREE:
        (less, low), (more, high) = opinions[0], opinions[-1]
        sides = f"{more} says {mention.type} with {high.probability:.0%}, {less} with {low.probability:.0%}"
        found.append(Reason(kind="views_disagree", sentence=f"the views disagree: {sides}"))
    variances = f"epistemic {mention.epistemic:.2f}, aleatoric {mention.aleatoric:.2f}"
    if mention.epistemic > mention.aleatoric:
        found.append(Reason(kind="little_evidence", sentence=f"the model has seen few posts like this: {variances}"))
    elif mention.aleatoric > 0:
        found.append(Reason(kind="ambiguous", sentence=f"the wording itself is ambiguous: {variances}"))
    words = mention.start, mention.end
    same = [other for other in candidates if (other.start, other.end) == words and other.type != mention.type]
    if same:
        types = " or ".join(f"{other.type} ({other.probability:.0%})" for other in same)
        found.append(Reason(kind="other_type", sentence=f"it may also be {types}"))
    return found
