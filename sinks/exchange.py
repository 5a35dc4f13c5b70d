"""The lines of an export: one JSON object for each document of the index. `event_of` makes an event of it again.

The fields have the names of a post's; `mentions`, `accounts`, `model` and `model_version` those of an extraction.
`decided_by` is `model` or `human`. If the terms of the source do not let the text be shown, a line holds only `id`,
`source`, `created_at` and the spans and types of the mentions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha1
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from core.events import (
    HIGHEST_THRESHOLD,
    MAX_TEXT,
    Account,
    Author,
    Decision,
    Extraction,
    Identifier,
    ImageResult,
    Media,
    Mention,
    ReviewTask,
    Tweet,
    Value,
)
from core.reading import MAX_EDIT, MAX_MEDIA, MAX_SOURCE
from core.terms import Terms

FIELDS = {
    "id": "id",
    "feed": "source",
    "edit": "edit",
    "created_at": "created_at",
    "received_at": "received_at",
    "author": "author",
    "lang": "lang",
    "reply_to": "reply_to",
    "quote_of": "quote_of",
    "text": "text",
    "media": "media",
    "image": "image",
    "context": "context",
    "mentions": "mentions",
    "accounts": "accounts",
    "model": "model",
    "model_version": "model_version",
    "source": "decided_by",
    "reviewer": "reviewer",
    "decided_at": "decided_at",
}
"""Field of the document -> field of the line, in the line's order."""

SILENT = {"id", "feed", "created_at", "mentions"}
"""Fields of the document that a line keeps if the text may not be shown."""
SPAN = ("start", "end", "type")
FIGURES = ("text", "probability", "aleatoric", "epistemic", "source")


def line_of(body: Mapping[str, Any], terms: Terms) -> bytes:
    """Returns a document of the index as a line of JSON, with its line feed. The same document gives the same bytes."""
    kept = FIELDS if terms.may_show_text else {name: FIELDS[name] for name in FIELDS if name in SILENT}
    names = (*SPAN, *FIGURES) if terms.may_show_text else SPAN
    line = {field: body[name] for name, field in kept.items() if name in body}
    line["mentions"] = [{name: mention[name] for name in names} for mention in body.get("mentions", ())]
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Fetched(Value):
    """The outcome of fetching the image of an exported post."""

    status: Literal["none", "ok", "failed"] = "none"
    reason: str | None = None


class Exported(Value):
    """A line of an export that has a text."""

    id: Identifier
    source: str = Field(max_length=MAX_SOURCE)
    edit: int = Field(default=0, ge=0, le=MAX_EDIT)
    created_at: AwareDatetime | None = None
    received_at: AwareDatetime | None = None
    author: Author | None = None
    lang: str | None = None
    reply_to: Identifier | None = None
    quote_of: Identifier | None = None
    text: str = Field(max_length=MAX_TEXT)
    media: tuple[str, ...] = Field(default=(), max_length=MAX_MEDIA)
    image: Fetched = Fetched()
    context: str | None = None
    mentions: tuple[Mention, ...]
    accounts: tuple[Account, ...] = ()
    model: str
    model_version: int = Field(ge=0, lt=2**40)
    decided_by: Literal["model", "human"]
    reviewer: str | None = None
    decided_at: AwareDatetime | None = None

    @property
    def event(self) -> Extraction | Decision:
        """The event that brings the document into another index. Raises `ValidationError` if the fields contradict."""
        post = Tweet(
            **{name: getattr(self, name) for name in POST_FIELDS},
            media=tuple(Media(url=url) for url in self.media),
        )
        read = {name: getattr(self, name) for name in ("accounts", "model", "model_version", "context")}
        image = ImageResult(status=self.image.status, reason=self.image.reason)
        if self.decided_by == "model":
            probabilities = [mention.probability for mention in self.mentions]
            threshold = min(*probabilities, HIGHEST_THRESHOLD) if probabilities else 1.0  # all of them are confident
            return Extraction(tweet=post, mentions=self.mentions, image=image, threshold=threshold, **read)
        task = ReviewTask(
            id=f"{self.id}:{self.edit}:{self.model}:{self.model_version}",
            tweet=post,
            questions=(),
            image=image,
            threshold=1.0,
            uncertainty=0.0,
            **read,
        )
        moment = self.decided_at.isoformat() if self.decided_at else ""
        name = sha1(f"{self.id} {self.edit} {moment}".encode(), usedforsecurity=False).hexdigest()
        return Decision.model_validate(
            {
                "id": f"import-{name}",
                "task": task,
                "mentions": self.mentions,
                "reviewer": self.reviewer,
                "decided_at": self.decided_at,
            }
        )


POST_FIELDS = ("id", "source", "edit", "created_at", "received_at", "author", "lang", "reply_to", "quote_of", "text")


def has_no_text(line: Mapping[str, Any]) -> bool:
    """Whether the terms of the source kept the text out of the line."""
    return {"id", "source", "mentions"} <= line.keys() <= {"id", "source", "created_at", "mentions"}
