"""The events that a platform sends about a post or an author after publication: erase, hide, show, scrub_geo.

`Lifecycle` is the value on the topic `tombstones`. Records of versions before 0.4 hold `{"id", "reason"}`: the post was
deleted.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from core import reading
from core.events import Identifier, LenientModel

Kind = Literal["erase", "hide", "show", "scrub_geo"]
Cause = Literal["deleted", "takedown", "protected", "suspended", "deactivated", "withheld", "dropped"]
CAUSES = [*get_args(Cause), None]
MOMENT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def _as_note(reason: object) -> str | None:
    """Cuts a note for people. A fault of the note must not keep a deleted post alive."""
    return reason[:512] if isinstance(reason, str) else None


def _is_unreadable(at: object) -> bool:
    """Whether this is no time with a zone."""
    try:
        MOMENT.validate_python(at)
    except ValidationError:
        return at is not None
    return False


class Lifecycle(LenientModel):
    """One event about one subject: a post, or all posts of an author.

    - `erase` removes for ever. Of an author, it removes the posts published up to `at`.
    - `hide` lasts until a later `show` with the same cause, or without a cause. At equal times, the hide wins.
    - `scrub_geo` removes places.

    Events may arrive in any order and repeatedly: `at` decides.
    """

    kind: Kind = "erase"
    #: Records that older workers may read as well call it `id`: only an `erase` of a post.
    post: Identifier | None = Field(default=None, validation_alias=AliasChoices("post", "id"))
    author: str | None = Field(default=None, min_length=1, max_length=reading.MAX_ID)
    cause: Cause | None = None
    #: When the platform said so. Required, except to erase a post.
    at: AwareDatetime | None = None
    source: str = Field(default="unknown", max_length=reading.MAX_SOURCE)
    reason: Annotated[str | None, BeforeValidator(_as_note)] = None

    @model_validator(mode="before")
    @classmethod
    def _without_odd_fields(cls, fields: Any) -> Any:
        """Drops what cannot be read beside the subject of an `erase`. No such field may keep a post alive."""
        if not isinstance(fields, dict) or fields.get("kind", "erase") != "erase":
            return fields
        kept = dict(fields)
        if kept.get("cause") not in CAUSES:
            kept.pop("cause", None)
        if isinstance(source := kept.pop("source", None), str):
            kept["source"] = source[: reading.MAX_SOURCE]
        if kept.get("author") is None and _is_unreadable(kept.get("at")):
            kept.pop("at")
        return kept

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.post is None) == (self.author is None):
            raise ValueError("must name either a post or an author")
        if self.at is None and not (self.kind == "erase" and self.post is not None):
            raise ValueError(
                f"needs `at`, the time of the event, to {self.kind} " + ("it" if self.post else "an author")
            )
        if self.kind == "hide" and self.cause is None:
            raise ValueError("needs a `cause` to hide")
        return self

    @property
    def key(self) -> bytes:
        """Returns the Kafka key. Compaction drops repetitions of this event, and no other event."""
        if self.kind == "erase" and self.post is not None:
            return self.post.encode()
        subject = f"post:{self.post}" if self.post is not None else f"author:{self.author}"
        assert self.at is not None
        return f"{self.kind} {self.cause or 'any'} {subject} {self.at.isoformat()}".encode()

    def encoded(self) -> bytes:
        """Returns the value as JSON. Only an `erase` of a post has the field `id`, which older workers act on."""
        fields: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        if self.kind == "erase" and self.post is not None:
            fields["id"] = fields.pop("post")
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
