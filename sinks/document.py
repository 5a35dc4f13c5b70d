"""Builds the index document of a post from an event. Pure, so a replayed event gives the same bytes.

The document's version decides which of two writes wins: the greater one (`version_type=external`). Its 62 bits are

    edit (16) | rank (2): model 0, human 1 | stamp (44)

The stamp is the model version (Unix seconds) or the time of the decision (Unix milliseconds). So a newer edit beats
every document of an older one. Within an edit, a person beats the model, a newer model an older one, and a later
decision an earlier one. A tombstone has version 2**62, above all others.

`folded` is the text in the spelling that is searched, where that differs from the text: the core of Elasticsearch lacks
the filters for it. Documents of version 0.1 have the model version in the field `release`. Documents of versions 0.1
and 0.2 have no `folded`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from core.events import Decision, Extraction, ImageResult, Mention, ReviewTask, Tombstone, Tweet
from core.spelling import fold, normalise

ERASED = 2**62
RANK = {"model": 0, "human": 1}
STAMP_BITS = 44
RANK_BITS = 2

BLANKS = dict.fromkeys(map(ord, "\t\n\r"), " ")
"""Blanks at which Elasticsearch splits words as at a space."""

FORMER_NAMES = {"release": "model_version"}
"""Field name in version 0.1 -> present name."""


@dataclass(frozen=True)
class Document:
    """One post as the index stores it. `body` is ready for JSON."""

    id: str
    version: int
    body: dict[str, Any]

    @property
    def encoded(self) -> bytes:
        """The body as UTF-8 JSON, keys sorted, without spaces."""
        return json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def version(edit: int, rank: Literal["model", "human"], stamp: int) -> int:
    """Packs a document's version. Raises `ValueError` when the stamp needs more than 44 bits (after the year 2527)."""
    if not 0 <= stamp < 1 << STAMP_BITS:
        raise ValueError(f"stamp {stamp} does not fit {STAMP_BITS} bits")
    return edit << (STAMP_BITS + RANK_BITS) | RANK[rank] << STAMP_BITS | stamp


def edit_of(document_version: int) -> int:
    """Returns the edit in a document's version. That of a tombstone is above all others."""
    return document_version >> (STAMP_BITS + RANK_BITS)


def stamp_ms(moment: datetime) -> int:
    """Returns the moment in Unix milliseconds, rounded down. Uses integers only, since floats are inexact."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def stored(answer: Mapping[str, Any]) -> Document:
    """Returns the document in an answer of Elasticsearch. What an earlier version wrote gets today's form.

    Fields get their present names, and spellings are folded as they are now.
    """
    body = {FORMER_NAMES.get(name, name): value for name, value in answer["_source"].items() if name != "folded"}
    if "text" in body:
        body |= _present({"folded": folded(body["text"])})
        named = ({**mention, "name": normalise(mention["text"])} for mention in body.get("mentions", ()))
        body |= {"mentions": list(named)}
    return Document(answer["_id"], answer["_version"], body)


def folded(text: str) -> str | None:
    """Returns the text as it is searched, or None if the words of the raw one already are so."""
    result = fold(text)[0]
    return None if result == text.lower().translate(BLANKS) else result


def from_extraction(extraction: Extraction, confident: Sequence[Mention]) -> Document:
    """Returns the document of an extraction. It holds only the confident mentions."""
    tweet = extraction.tweet
    body = _body(tweet, confident, extraction.image, extraction.context, extraction.model, extraction.model_version)
    return Document(tweet.id, version(tweet.edit, "model", extraction.model_version), body | {"source": "model"})


def from_decision(decision: Decision) -> Document:
    """Returns the document of a decision. For a retraction, it holds the model's mentions."""
    task: ReviewTask = decision.task
    body = _body(task.tweet, decision.mentions, task.image, task.context, task.model, task.model_version)
    if decision.kind == "settle":
        body |= {"source": "human", "reviewer": decision.reviewer, "decided_at": _moment(decision.decided_at)}
    else:
        body |= {"source": "model"}
    return Document(task.tweet.id, version(task.tweet.edit, "human", stamp_ms(decision.decided_at)), body)


def from_tombstone(tombstone: Tombstone) -> Document:
    """Returns a marker that holds nothing of the post but its id. No later write can replace it."""
    return Document(tombstone.id, ERASED, {"id": tombstone.id, "erased": True})


def _body(
    tweet: Tweet, mentions: Sequence[Mention], image: ImageResult, context: str | None, model: str, model_version: int
) -> dict[str, Any]:
    author = {"id": tweet.author.id, "name": tweet.author.name} if tweet.author else {}
    return _present(
        {
            "id": tweet.id,
            "text": tweet.text,
            "folded": folded(tweet.text),
            "created_at": _moment(tweet.created_at) if tweet.created_at else None,
            "author": _present(author) or None,
            "lang": tweet.lang,
            "feed": tweet.source,
            "edit": tweet.edit,
            "reply_to": tweet.reply_to,
            "quote_of": tweet.quote_of,
            "media": [media.url for media in tweet.media] or None,
            "image": _present({"status": image.status, "reason": image.reason}),
            "context": context,
            "mentions": [_mention(mention) for mention in sorted(mentions, key=_reading_order)],
            "model": model,
            "model_version": model_version,
        }
    )


def _mention(mention: Mention) -> dict[str, Any]:
    return {
        "start": mention.start,
        "end": mention.end,
        "text": mention.text,
        "name": normalise(mention.text),
        "type": mention.type,
        "probability": mention.probability,
        "aleatoric": mention.aleatoric,
        "epistemic": mention.epistemic,
        "source": mention.source,
    }


def _reading_order(mention: Mention) -> tuple[int, int, str]:
    return mention.start, mention.end, mention.type


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
