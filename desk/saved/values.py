"""The values of saved searches: as the topic keeps them, and as the API shows them."""

from __future__ import annotations

import operator
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, TypeAdapter

from core.events import Value
from core.text import plain
from desk.search.parts import Part
from desk.search.values import Answer, FoundPost, HitMention
from sinks.searching.state import SearchState

PREFIX = "search/"
"""How the keys of saved searches begin in the topic `desk`."""

Name = Annotated[
    str, AfterValidator(lambda text: plain(text, 200).strip()), StringConstraints(min_length=1, max_length=100)
]


class Webhook(Value):
    """Where matching posts go. The topic holds the secret, so whoever may read the topic can sign like the desk."""

    url: str = Field(min_length=1, max_length=2048)
    secret: str = Field(min_length=1, max_length=128, repr=False)
    #: Why nothing is sent any more. Empty while it works.
    paused: str = Field(default="", max_length=500, exclude_if=operator.not_)


class SavedSearch(Value):
    """A search that a person has named."""

    id: str = Field(pattern=r"^[\w-]{1,32}$")
    name: Name
    #: As `SearchState.to_query` writes it.
    query: str = Field(max_length=20_000)
    owner: str = Field(min_length=1, max_length=128)
    created: AwareDatetime
    webhook: Webhook | None = Field(default=None, exclude_if=operator.not_)

    @property
    def key(self) -> str:
        return PREFIX + self.id

    @property
    def state(self) -> SearchState:
        """The search. Raises `UserError` if this version cannot read it."""
        return SearchState.from_query(self.query)

    def with_changes(self, **changes: Any) -> SavedSearch:
        """Returns the search with other values, checked."""
        return SavedSearch.model_validate(dict(self) | changes)


SAVED_SEARCH: TypeAdapter[SavedSearch] = TypeAdapter(SavedSearch)


class TailPart(Answer):
    """A mention, or the text between two mentions."""

    pieces: tuple[tuple[str, bool], ...] = Field(description="Texts, and whether each matches the query.")
    type: str | None = Field(description="Type of the mention; null between mentions.")

    @classmethod
    def of_part(cls, part: Part[HitMention]) -> TailPart:
        kind = part.mention.type if part.mention else None
        return cls(pieces=tuple((piece.text, piece.matched) for piece in part.pieces), type=kind)


class TailPost(FoundPost):
    """A post that begins to match, or has changed and matches."""

    cut: tuple[TailPart, ...] = Field(default=(), description="The text, cut into mentions and matched words.")

    @classmethod
    def with_cut(cls, post: FoundPost) -> TailPost:
        return cls(**dict(post), cut=tuple(map(TailPart.of_part, post.parts)))


class Delivery(Answer):
    """One message to a webhook that ended: delivered, or given up. It holds no id of a post."""

    at: datetime
    message: str = Field(description="The header `webhook-id` of the message.")
    delivered: bool
    tries: int
    said: str = Field(description="What the receiver answered, or why it could not be reached.")


class Ledger(Answer):
    """How the deliveries of a webhook go."""

    delivered: int = 0
    dead: int = Field(default=0, description="Messages that were given up.")
    in_row: int = Field(default=0, description="Messages in a row that were given up, up to now.")
    gap: datetime | None = Field(
        default=None, description="When posts may have been missed, because the place was lost."
    )
    latest: tuple[Delivery, ...] = ()


class WebhookState(Answer):
    """A webhook without its secret."""

    url: str
    paused: str = Field(description="Why nothing is sent any more. Empty while it works.")
    ledger: Ledger | None = Field(description="Null while Redis is away.")


class Saved(Answer):
    """A saved search."""

    id: str
    name: str
    query: str = Field(description="Query string of the search, as in the address of its page.")
    owner: str
    created: datetime
    mine: bool = Field(description="Whether you may change it.")
    has_webhook: bool
    webhook: WebhookState | None = Field(description="Null if there is none, or if you may not change the search.")


class NewWebhook(Answer):
    """A webhook that was set up. The secret is shown this once."""

    url: str
    secret: str
