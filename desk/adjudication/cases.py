"""Lays the votes on one task side by side, without the names of the voters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from core.events import EntityType, ReviewTask, Vote, overlaps
from core.text import printable
from review.work import InvalidAction, Work, begin, resume
from sinks.queue.values import Dispute

LONG, NEAR = 240, 80
"""A run of text without marks that is longer than `LONG` is cut to `NEAR` characters at each end, beside the marks."""

Mark = tuple[int, int, EntityType]
"""Start and end in code points, and the type."""


@dataclass(frozen=True)
class Piece:
    """A run of the post's text in one version."""

    text: str
    type: EntityType | None = None  # None: not marked here
    #: Whether another version has not this mark, or has a mark here.
    differs: bool = False


@dataclass(frozen=True)
class Version:
    """What one person marked."""

    id: str  # names the vote, and says nothing about the person
    reviewer: str
    marks: tuple[Mark, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Difference:
    """A span on which the versions differ, with the type that each version gives it."""

    text: str
    types: tuple[EntityType | None, ...]


@dataclass(frozen=True)
class Case:
    """One task as the page shows it."""

    dispute: Dispute
    text: str
    versions: tuple[Version, ...]
    differences: tuple[Difference, ...]

    @property
    def post(self) -> str:
        return self.dispute.task.tweet.id

    @property
    def is_disputed(self) -> bool:
        return self.dispute.is_disputed


def case(dispute: Dispute) -> Case:
    """Returns the votes on a disputed task, in an order that does not tell who voted first.

    Nobody sees votes before all are in, so a task that is only flagged has no versions.
    """
    text = printable(dispute.task.tweet.text)
    votes = dispute.votes if dispute.is_disputed else ()
    voted = sorted(votes, key=lambda vote: version_id(dispute.task, vote))
    marked = [_marks(vote) for vote in voted]
    agreed = set(marked[0]).intersection(*marked[1:]) if marked else set[Mark]()
    apart = set().union(*marked) - agreed
    versions = tuple(
        Version(version_id(dispute.task, vote), vote.reviewer, marks, _pieces(text, marks, apart))
        for vote, marks in zip(voted, marked, strict=True)
    )
    spans = sorted({(start, end) for start, end, _ in apart})
    differences = tuple(
        Difference(text[slice(*span)], tuple(_type_at(marks, span) for marks in marked)) for span in spans
    )
    return Case(dispute, text, versions, differences)


def version_id(task: ReviewTask, vote: Vote) -> str:
    """Names a vote on a task."""
    return sha256("\0".join((task.id, vote.reviewer, vote.decided_at.isoformat())).encode()).hexdigest()[:16]


def work_of(task: ReviewTask, votes: Sequence[Vote], version: str) -> Work:
    """Returns the finished work with the answers of a version.

    Raises `InvalidAction` when there is no such version any more, or when its answers do not give its marks again.
    """
    vote = next((vote for vote in votes if version_id(task, vote) == version), None)
    if vote is None:
        raise InvalidAction("this version is gone: its vote was taken back or changed")
    rejected_first = sorted(vote.verdicts, key=lambda verdict: verdict.after is not None)  # this makes room
    work = resume(begin(task), rejected_first)
    marks = tuple((mention.start, mention.end, mention.type) for mention in work.mentions)
    if not work.done or marks != _marks(vote):
        raise InvalidAction("this version cannot be taken as it is; settle the post with your own version")
    return work


def _marks(vote: Vote) -> tuple[Mark, ...]:
    return tuple(sorted((mention.start, mention.end, mention.type) for mention in vote.mentions))


def _type_at(marks: Sequence[Mark], span: tuple[int, int]) -> EntityType | None:
    return next((kind for start, end, kind in marks if (start, end) == span), None)


def _pieces(text: str, marks: Sequence[Mark], apart: set[Mark]) -> tuple[Piece, ...]:
    """Returns the text in pieces: its marks, the places where only others have a mark, and what lies between."""
    shown: list[tuple[int, int, EntityType | None, bool]] = [(*mark, mark in apart) for mark in marks]
    for start, end, _ in sorted(apart):
        if not any(overlaps(_Span(start, end), _Span(other[0], other[1])) for other in shown):
            shown.append((start, end, None, True))
    pieces, place = [], 0
    for start, end, kind, differs in sorted(shown, key=lambda one: one[:2]):
        pieces += [Piece(_short(text[place:start], place > 0, True)), Piece(text[start:end], kind, differs)]
        place = end
    pieces.append(Piece(_short(text[place:], place > 0, False)))
    return tuple(piece for piece in pieces if piece.text)


@dataclass(frozen=True)
class _Span:
    start: int
    end: int


def _short(text: str, has_before: bool, has_after: bool) -> str:
    if len(text) <= LONG:
        return text
    return (text[:NEAR] if has_before else "") + " … " + (text[-NEAR:] if has_after else "")
