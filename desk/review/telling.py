"""Turns a leased task into what the browser gets. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from core.events import ImageResult, Mention, Opinion, ReviewTask
from core.terms import Sources
from core.text import one_line, plain, printable, shorten
from desk.review.ranks import Scale
from desk.review.values import (
    Answer,
    CountsTold,
    ImageTold,
    ItemTold,
    NewSpan,
    PastAnswer,
    PastTold,
    Photo,
    ReasonTold,
    RegionTold,
    TaskTold,
    View,
)
from review.segments import character_edges, segments
from review.work import Item, Work, begin
from sinks.queue.values import Claim, Counts, Remembered, is_vote_of

MOST_NAME, MOST_ALT = 200, 2000
"""Longest name of an author and longest alternative text that is shown, in characters."""


def tell(
    claim: Claim,
    sources: Sources,
    scale: Scale | None = None,
    reopened: Work | None = None,
    *,
    is_rank_late: bool = False,
) -> TaskTold:
    """Returns the task for the browser. The text is that of the post, with control characters made visible.

    `scale`: what variances are compared with; without one, there are no ranks. `reopened`: the work of a decision that
    was just taken back. `is_rank_late`: whether a scale is still being read.
    """
    task = claim.task
    answers, added = _given(begin(task), reopened) if reopened else ([], [])
    tweet = task.tweet
    text = printable(tweet.text)
    author = tweet.author and (tweet.author.name or tweet.author.id)
    return TaskTold(
        id=task.id,
        post=tweet.id,
        token=claim.token,
        until=claim.until,
        text=text,
        words=[(word.start, word.end, word.is_word) for word in segments(tweet.text)],
        inner=inner(tweet.text),
        author=plain(author, MOST_NAME) if author else None,
        created_at=tweet.created_at,
        source=one_line(tweet.source),
        lang=one_line(tweet.lang) if tweet.lang else None,
        edit=tweet.edit,
        copies=claim.copies,
        context=printable(task.context) if task.context else None,
        image=_image(task, sources),
        items=[_item(item, scale) for item in begin(task).items],
        is_rank_late=is_rank_late,
        threshold=task.threshold,
        typicality=task.typicality,
        model=one_line(task.model),
        answers=answers,
        added=added,
    )


def _given(fresh: Work, reopened: Work) -> tuple[list[Answer], list[NewSpan]]:
    """Returns the answers of a work by the place of their item in a fresh one, and the mentions that it added."""
    places = {_key(item): place for place, item in enumerate(fresh.items) if item.before}
    given = [item for item in reopened.items if item.answered]
    known = [item for item in given if item.before and _key(item) in places]
    answers = [Answer(item=places[_key(item)], after=_span(item.after)) for item in known]
    added = [span for item in given if item.before is None and (span := _span(item.after))]
    return answers, added


def _key(item: Item) -> tuple[int, int, str, bool]:
    return (*_place(item.before or item.mention), item.is_candidate)


def _place(mention: Mention) -> tuple[int, int, str]:
    return mention.start, mention.end, mention.type


def tell_past(remembered: Remembered) -> PastTold:
    """Returns a line of the list of last decisions."""
    decision = remembered.decision
    vote = next((vote for vote in decision.votes if is_vote_of(vote, decision)), None)
    verdicts = vote.verdicts if vote else decision.verdicts
    told = [(verdict.action, verdict.after or verdict.before) for verdict in verdicts]
    return PastTold(
        id=decision.id,
        post=decision.task.tweet.id,
        decided_at=decision.decided_at,
        answers=[
            PastAnswer(text=shorten(one_line(mention.text), MOST_NAME), type=mention.type, action=action)
            for action, mention in told
            if mention
        ],
        is_changed=remembered.is_changed,
    )


def tell_counts(counts: Counts) -> CountsTold:
    return CountsTold(
        open=counts.open,
        leased=counts.leased,
        decided=counts.decided,
        copies=counts.copies,
        apart=counts.apart,
        skipped=counts.skipped,
    )


def inner(text: str) -> list[int]:
    """Returns the places inside of characters. Most texts have none, so this is shorter than all edges."""
    edges = character_edges(text)
    return [place for start, end in pairwise(edges) for place in range(start + 1, end)]


def photo_address(post: str, number: int) -> str:
    """Returns where `desk.photos` serves a photo. Its number counts all media of the post, from 0."""
    return f"/images/{post}/{number}.jpg"


def _image(task: ReviewTask, sources: Sources) -> ImageTold:
    image: ImageResult = task.image
    shown = sources.of(task.tweet.source).may_show_text
    photos = [(number, media) for number, media in enumerate(task.tweet.media) if media.is_photo] if shown else []
    return ImageTold(
        status=image.status,
        reason=one_line(image.reason) if image.reason else None,
        width=image.width,
        height=image.height,
        photos=[
            Photo(address=photo_address(task.tweet.id, number), alt=plain(media.alt, MOST_ALT) if media.alt else None)
            for number, media in photos
        ],
        regions=[
            RegionTold(kind=region.kind, label=one_line(region.label), score=region.score, box=region.box)
            for region in image.regions
        ],
    )


def _item(item: Item, scale: Scale | None) -> ItemTold:
    shown = item.before or item.mention
    views = sorted(shown.views.items())
    return ItemTold(
        start=shown.start,
        end=shown.end,
        type=shown.type,
        views=[View(name=one_line(name), share=view.share, **_figures(view, scale)) for name, view in views],
        **_figures(shown, scale),
        asked=item.asked,
        is_candidate=item.is_candidate,
        is_audit=item.is_audit,
        is_added=item.before is None,
        reasons=[ReasonTold(kind=reason.kind, sentence=one_line(reason.sentence)) for reason in item.reasons],
        answered=item.answered,
        after=_span(item.after),
    )


def _figures(found: Mention | Opinion, scale: Scale | None) -> dict[str, Any]:
    return {
        "probability": found.probability,
        "aleatoric": found.aleatoric,
        "epistemic": found.epistemic,
        "aleatoric_rank": scale and scale["aleatoric"].rank(found.aleatoric),
        "epistemic_rank": scale and scale["epistemic"].rank(found.epistemic),
    }


def _span(mention: Mention | None) -> NewSpan | None:
    return NewSpan(start=mention.start, end=mention.end, type=mention.type) if mention else None
