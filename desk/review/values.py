"""What the review API takes and returns. Offsets are code points of the post's text, the end is exclusive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.events import MAX_TEXT, Action, EntityType, Identifier

MOST_HELD = 24
"""Largest number of tasks that one tab may hold. A tab asks for three, and for more while a person decides fast."""

MOST_KNOWN = 2000
"""Largest number of posts that a client names as known."""

Token = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}(-[0-9a-f]{16})?$")]
SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,32}$")]
DecisionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Place = Annotated[int, Field(ge=0, le=MAX_TEXT)]


class _Sent(BaseModel):
    """What a client sends. Unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Told(BaseModel):
    """What the server answers."""

    model_config = ConfigDict(frozen=True)


class Lease(_Sent):
    """A task that a client holds."""

    post: Identifier = Field(description="Id of the post.")
    token: Token = Field(description="The lease's token, as the task came with.")


class NewSpan(_Sent):
    """A span with a type."""

    start: Place
    end: Place
    type: EntityType


class Answer(_Sent):
    """The answer on one of the task's items."""

    item: int = Field(ge=0, le=MAX_TEXT, description="Place of the item in the task's `items`.")
    after: NewSpan | None = Field(description="The mention as the person wants it; null rejects it.")


class Ask(_Sent):
    """Asks for tasks."""

    session: SessionId = Field(description="Names the tab, by which a reload gets its tasks again.")
    want: int = Field(3, ge=0, le=MOST_HELD, description="Number of new tasks to lease.")
    held: list[Lease] = Field(
        default=[], max_length=MOST_HELD, description="Tasks to hold on to and to return again, such as after a reload."
    )
    known: list[Identifier] | None = Field(
        None,
        max_length=MOST_KNOWN,
        description="Posts that the client holds, or whose answers it has yet to send. If it is given, the answer also "
        "has the other tasks that this session leases, such as after an answer that got lost.",
    )


class Renewal(_Sent):
    """Renews leases."""

    leases: list[Lease] = Field(max_length=MOST_HELD)
    leaving: bool = Field(
        False, description="The tab closes or reloads: the leases end in seconds, unless it comes back and renews them."
    )


class Settling(Lease):
    """A decision on a whole task: an answer on every question that is still open."""

    id: DecisionId = Field(description="Made by the client. Sending it again does nothing, so a retry is safe.")
    task: str = Field(min_length=1, max_length=1000, description="Id of the task that the person looked at.")
    answers: list[Answer] = Field(default=[], max_length=2000)
    added: list[NewSpan] = Field(default=[], max_length=500, description="Mentions that the model missed.")


class Skip(Lease):
    """Gives a task back undecided."""

    session: SessionId


class OfSession(_Sent):
    """Names the tab that asks."""

    session: SessionId


class Figures(_Told):
    """How sure the model is.

    A rank is the share of mentions, from 0 to 1, that have a smaller variance, of those that this version of the model
    has found here. It is null while too few are known.
    """

    probability: float
    aleatoric: float
    epistemic: float
    aleatoric_rank: float | None
    epistemic_rank: float | None


class View(Figures):
    """What one view (modality) of the model says."""

    name: str
    share: float = Field(description="The view's part of the evidence, from 0 to 1.")


class ReasonTold(_Told):
    kind: str
    sentence: str


class ItemTold(Figures):
    """A mention of the task: a question, or one that the model is sure of."""

    start: int
    end: int
    type: EntityType
    views: list[View]
    asked: bool = Field(description="Whether a person is asked about it.")
    is_candidate: bool = Field(description="Whether the model did not choose it.")
    is_audit: bool = Field(description="Whether the model is sure of it, and it is asked to measure the precision.")
    is_added: bool = Field(description="Whether a person added it before the task came here.")
    reasons: list[ReasonTold]
    answered: bool = Field(description="Whether a person has answered it before the task came here.")
    after: NewSpan | None = Field(description="The mention now; null if it is rejected.")


class RegionTold(_Told):
    """An object or a line of text that was found in the image."""

    kind: Literal["text", "object"]
    label: str
    score: float
    box: tuple[float, float, float, float] = Field(description="Left, top, right, bottom, as shares of the image.")


class Photo(_Told):
    """A photo of the post."""

    address: str = Field(description="Where this server serves it.")
    alt: str | None


class ImageTold(_Told):
    status: str
    reason: str | None
    width: int | None
    height: int | None
    photos: list[Photo]
    regions: list[RegionTold]


class TaskTold(_Told):
    """A task with its lease.

    Control characters of the text are made visible, one code point for each, so that offsets stay valid. A client needs
    no rules of Unicode: `words` and `inner` say where words and characters begin and end.
    """

    id: str
    post: str
    token: Token
    until: float = Field(description="End of the lease, in Unix seconds.")
    text: str
    words: list[tuple[int, int, bool]] = Field(
        description="Words and runs of signs in reading order: start, end, and whether it is a word."
    )
    inner: list[int] = Field(description="Places inside of a character, where nothing may be cut.")
    author: str | None
    created_at: datetime | None
    source: str
    lang: str | None
    edit: int
    copies: int = Field(description="Number of other posts that the decision counts for.")
    context: str | None
    image: ImageTold
    items: list[ItemTold]
    is_rank_late: bool = Field(
        description="Whether the ranks are still being read. Until then they are null. To get them, send the lease in "
        "`held` with the next request for tasks."
    )
    threshold: float
    typicality: float | None
    model: str
    answers: list[Answer] = Field(default=[], description="The answers of a decision that was just taken back.")
    added: list[NewSpan] = Field(default=[], description="The mentions that this decision had added.")


class PastAnswer(_Told):
    """What a decision said about one mention."""

    text: str
    type: EntityType
    action: Action


class PastTold(_Told):
    """One of the person's last decisions."""

    id: str
    post: str
    decided_at: datetime
    answers: list[PastAnswer]
    is_changed: bool = Field(description="Somebody has changed it since, so it cannot be opened again.")


class Past(_Told):
    """The person's last decisions, the latest first, one a post."""

    decisions: list[PastTold]


class CountsTold(_Told):
    open: int
    leased: int
    decided: int
    copies: int
    apart: int = Field(description="Number of disputed and flagged tasks, on which nobody works.")
    skipped: int = Field(description="Number of open tasks that the person skipped on this day (UTC).")


class Hand(_Told):
    """The tasks that a client holds now."""

    tasks: list[TaskTold]
    lost: list[str] = Field(description="Ids of the posts in `held` that are no longer held.")
    counts: CountsTold
    lease_s: float = Field(description="Length of a lease in seconds. Renew it well before.")


class Renewed(_Told):
    lost: list[str] = Field(description="Ids of the posts whose lease is lost.")


class Done(_Told):
    """A decision that the server has stored."""

    id: DecisionId
    post: str


class Problem(_Told):
    """Why a request was refused, and what to do."""

    error: str
