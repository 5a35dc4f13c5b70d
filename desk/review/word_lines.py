"""Turns tasks that ask about the same name into lines for the browser: the name in its context. Pure."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from datetime import datetime
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field

from core.events import EntityType, ReviewTask
from core.text import plain, printable, shorten
from review.segments import character_edges
from sinks.queue.name_groups import asks_about
from sinks.queue.values import Entry

BEFORE, AFTER = 90, 140
"""Largest number of code points that are shown before and after the mention."""
MOST_MENTION, MOST_NAME = 120, 80
"""Longest mention, and longest name of an author or a source, that is shown, in code points."""


class LineTold(BaseModel):
    """A task that asks about the name, and the post's text around its first such question.

    Control characters are made visible, and line feeds are spaces. The text is cut between characters, so a client
    needs no offsets.
    """

    model_config = ConfigDict(frozen=True)

    post: str
    seen: str = Field(description="Stands for the task as it is shown here. A decision names it.")
    before: str
    mention: str
    after: str
    rtl: bool = Field(description="Whether the post is written from right to left.")
    places: int = Field(description="Number of questions of the post about the name with this type.")
    others: int = Field(description="Number of its other open questions. They stay open.")
    probability: float = Field(description="That of the model, for the mention that is shown.")
    is_candidate: bool = Field(description="Whether the model did not choose the mention.")
    is_audit: bool = Field(description="Whether one of the questions is a spot check.")
    author: str | None
    source: str
    created_at: datetime | None
    photos: int
    copies: int = Field(description="Number of other posts that the decision counts for.")
    holder: str | None = Field(description="Who works on the task at the moment.")


def seen(task: ReviewTask) -> str:
    """Returns what stands for the task as it is now: 32 hex digits. It changes with every answer and edit."""
    return sha256(task.model_dump_json().encode()).hexdigest()[:32]


def tell_line(entry: Entry, name: str, entity_type: EntityType) -> LineTold | None:
    """Returns the line of a task, or None if it does not ask about this name with this type. `name` is normalised."""
    task = entry.task
    tweet, questions = task.tweet, task.open_questions
    asked = sorted(
        (question for question in questions if asks_about(question.mention, name, entity_type)),
        key=lambda question: question.mention.start,
    )
    if not asked:
        return None
    first = asked[0]
    before, mention, after = cut(tweet.text, first.mention.start, first.mention.end)
    author = tweet.author and (tweet.author.name or tweet.author.id)
    return LineTold(
        post=tweet.id,
        seen=seen(task),
        before=before,
        mention=mention,
        after=after,
        rtl=reads_from_the_right(tweet.text),
        places=len(asked),
        others=len(questions) - len(asked),
        probability=first.mention.probability,
        is_candidate=first.is_candidate,
        is_audit=any(question.is_audit for question in asked),
        author=plain(author, MOST_NAME) if author else None,
        source=plain(tweet.source, MOST_NAME),
        created_at=tweet.created_at,
        photos=sum(media.is_photo for media in tweet.media),
        copies=entry.copies,
        holder=plain(entry.reviewer, MOST_NAME) if entry.reviewer else None,
    )


def cut(text: str, start: int, end: int) -> tuple[str, str, str]:
    """Returns the text before the code points [start, end), these, and the text after them, each on one line.

    What is left out at an end is shown as `…`.
    """
    edges = character_edges(text)
    first = edges[bisect_left(edges, max(0, start - BEFORE))]
    last = edges[bisect_right(edges, min(len(text), end + AFTER)) - 1]
    before, after = text[min(first, start) : start], text[end : max(last, end)]
    return (
        "…" * (first > 0) + _line(before),
        shorten(_line(text[start:end]), MOST_MENTION),
        _line(after) + "…" * (last < len(text)),
    )


def reads_from_the_right(text: str) -> bool:
    """Whether the first letter with a direction is of a script that is written from right to left (rule P2 of
    https://www.unicode.org/reports/tr9/)."""
    for char in text:
        kind = unicodedata.bidirectional(char)
        if kind in {"L", "R", "AL"}:
            return kind != "L"
    return False


def _line(text: str) -> str:
    return printable(text).replace("\n", " ")
