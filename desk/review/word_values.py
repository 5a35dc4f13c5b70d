"""What the API of names takes and returns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.events import MAX_TEXT, EntityType, Identifier
from desk.review.word_lines import LineTold

MOST_LINES = 500
"""Largest number of tasks of one bulk."""


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class Line(_Sent):
    """A task as the person saw it."""

    post: Identifier
    seen: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] = Field(description="As its line had it.")


class Settling(_Sent):
    """One answer for the questions about a name and a type, in each of these tasks."""

    name: str = Field(min_length=1, max_length=MAX_TEXT)
    type: EntityType
    action: Literal["accept", "reject", "retype"]
    to: EntityType | None = Field(None, description="The other type, with `retype` only.")
    lines: list[Line] = Field(min_length=1, max_length=MOST_LINES)
    looked_at: int = Field(ge=1, le=100 * MOST_LINES, description="Number of lines that were on the screen.")


class GroupTold(_Told):
    """A name with a type that tasks ask about."""

    name: str
    type: EntityType
    tasks: int


class GroupsTold(_Told):
    groups: list[GroupTold]
    next: int | None = Field(
        description="Offset of the next names, or null if there are none. A page may have fewer names than `limit`."
    )


class LinesTold(_Told):
    name: str
    type: EntityType
    lines: list[LineTold]
    next: int | None = Field(description="Offset of the next lines, or null if there are none.")


class BulkTold(_Told):
    """A new bulk."""

    id: str


class LeftTold(_Told):
    """A task that was left alone."""

    post: str
    why: str
    sentence: str


class ResultTold(_Told):
    """What became of a bulk."""

    id: str
    name: str
    type: EntityType
    posts: list[str] = Field(description="Those whose decision is stored, or taken back.")
    left: list[LeftTold]
