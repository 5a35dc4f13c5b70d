"""What the API of disputed and flagged tasks takes and returns. Offsets are code points, the end is exclusive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.events import EntityType
from core.text import plain
from desk.adjudication.cases import Case
from sinks.queue.values import MAX_NOTE

VersionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
RequestId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Token = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}(-[0-9a-f]{16})?$")]


class _Sent(BaseModel):
    """What a client sends. Unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settlement(_Sent):
    """Settles a disputed task with one version."""

    id: RequestId = Field(description="The client's own id of this decision. A retry sends the same one.")
    task: str = Field(max_length=1000, description="`task` of the listed post.")
    version: VersionId = Field(description="`id` of the version.")


class FlagSent(_Sent):
    """Leaves a leased task to somebody else."""

    token: Token = Field(description="The lease's token, as the task came with.")
    note: str = Field("", max_length=MAX_NOTE, description="Why; for whoever decides it.")


class FlagState(_Sent):
    """Whether a flagged task waits for somebody else."""

    is_up: bool = Field(description="False puts the task back among the others; true takes that back.")


class MarkTold(BaseModel):
    """A marked span."""

    start: int
    end: int
    type: EntityType


class VersionTold(BaseModel):
    """What one person marked."""

    id: str
    marks: list[MarkTold]
    reviewer: str | None = Field(description="The person's name, if names were asked for.")


class FlagTold(BaseModel):
    """Who left the task to somebody else."""

    reviewer: str
    at: datetime
    note: str


class CaseTold(BaseModel):
    """A disputed or flagged task."""

    post: str
    task: str
    text: str
    copies: int = Field(description="Number of copies of the post that wait for the same decision.")
    versions: list[VersionTold]
    is_disputed: bool
    flag: FlagTold | None
    refusal: str = Field(description="Why somebody else has to decide it; empty if the person may.")


class Cases(BaseModel):
    """Flagged tasks, then disputed ones."""

    cases: list[CaseTold]


def tell(case: Case, refusal: str, *, names: bool) -> CaseTold:
    flag = case.dispute.flag
    return CaseTold(
        post=case.post,
        task=case.dispute.task.id,
        text=case.text,
        copies=case.dispute.copies,
        versions=[
            VersionTold(
                id=version.id,
                marks=[MarkTold(start=start, end=end, type=kind) for start, end, kind in version.marks],
                reviewer=version.reviewer if names else None,
            )
            for version in case.versions
        ],
        is_disputed=case.is_disputed,
        flag=flag and FlagTold(reviewer=flag.reviewer, at=flag.at, note=plain(flag.note, MAX_NOTE)),
        refusal=refusal,
    )
