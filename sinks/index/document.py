"""Builds the index document of a post from an event. Pure, so a replayed event gives the same bytes.

The document's version decides which of two writes wins: the greater one (`version_type=external`). Its 62 bits are

    edit (16) | rank (2): model 0, human 1 | stamp (44)

The stamp is the model version (Unix seconds) or the time of the decision (Unix milliseconds). So a newer edit beats
every document of an older one. Within an edit, a person beats the model, a newer model an older one, and a later
decision an earlier one. The marker of an erased post has version 2**62, above all others.

`folded` is the text in the spelling that is searched, where that differs from the text: the core of Elasticsearch lacks
the filters for it. `hidden` is true in a hidden post's document, and absent from others; it is written under the same
version. `verdicts` says what a person answered, without any text: the document of a decision on a copy has none, since
the person looked at another post. `alt` holds the alt text of each of `media`, where any is known, and `described`
their folded words. `mention_names` and `mention_types` hold what `mentions` hold, for facets.

Documents of version 0.1 have the model version in the field `release`. Documents of versions 0.1 and 0.2 have no
`folded`. Those before 0.4 have no `typicality`, `verdicts`, `bulk_id`, `alt`, `accounts`, `mention_names`,
`mention_types` and `mention_count`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from core.events import Decision, Extraction, Mention, ReviewTask, Tweet, Verdict
from core.spelling import fold, normalise
from core.standing import Published, published_at

PUBLISHED = ("created_at", "received_at", "author.id")
"""Fields of a document that `Document.published` reads."""

ERASED = 2**62
RANK = {"model": 0, "human": 1}
STAMP_BITS = 44
RANK_BITS = 2

BLANKS = dict.fromkeys(map(ord, "\t\n\r"), " ")
"""Blanks at which Elasticsearch splits words as at a space."""

FORMER_NAMES = {"release": "model_version"}
"""Field name in version 0.1 -> present name."""


UNCOMPARED = {"received_at", "typicality", "described"}
"""Fields in which two documents may differ and still say the same of a post: one that a feed sent twice was received
twice, and an export has no typicality."""


def is_same(a: Document, b: Document) -> bool:
    """Whether two documents say the same of a post.

    An earlier version wrote neither alt texts nor accounts, so these count only if both documents have some.
    """
    left_out = UNCOMPARED | {name for name in ("alt", "accounts") if name not in a.body or name not in b.body}
    bodies = [{name: value for name, value in each.body.items() if name not in left_out} for each in (a, b)]
    return (a.id, a.version) == (b.id, b.version) and bodies[0] == bodies[1]


@dataclass(frozen=True)
class Document:
    """One post as the index stores it. `body` is ready for JSON.

    Two documents that differ only in `hidden` are equal: it says nothing about the post itself.
    """

    id: str
    version: int
    body: dict[str, Any]
    hidden: bool = field(default=False, compare=False)

    @property
    def encoded(self) -> bytes:
        """The body as UTF-8 JSON, keys sorted, without spaces, with the fields of `_counted`."""
        body = self.body | _counted(self.body) | ({"hidden": True} if self.hidden else {})
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def erased(self) -> bool:
        """Whether this is the marker of an erased post."""
        return self.version == ERASED

    @property
    def published(self) -> Published:
        """What decides whether an event reaches the post. A marker holds only its id."""
        moments = (self.body.get(name) for name in ("created_at", "received_at"))
        created, received = (datetime.fromisoformat(moment) if moment else None for moment in moments)
        return Published(self.id, self.body.get("author", {}).get("id"), published_at(created, received))

    def with_hidden(self, hidden: bool) -> Document:
        """Returns the document of the post while it is hidden, or while it is not."""
        return replace(self, hidden=hidden)


def version(edit: int, rank: Literal["model", "human"], stamp: int) -> int:
    """Packs a document's version. Raises `ValueError` when the stamp needs more than 44 bits (after the year 2527)."""
    if not 0 <= stamp < 1 << STAMP_BITS:
        raise ValueError(f"stamp {stamp} does not fit {STAMP_BITS} bits")
    return edit << (STAMP_BITS + RANK_BITS) | RANK[rank] << STAMP_BITS | stamp


def edit_of(document_version: int) -> int:
    """Returns the edit in a document's version. That of an erased post's marker is above all others."""
    return document_version >> (STAMP_BITS + RANK_BITS)


ERASED_EDIT = edit_of(ERASED)


def stamp_ms(moment: datetime) -> int:
    """Returns the moment in Unix milliseconds, rounded down. Uses integers only, since floats are inexact."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def stored(answer: Mapping[str, Any]) -> Document:
    """Returns the document in an answer of Elasticsearch. What an earlier version wrote gets today's form.

    Fields get their present names, and spellings are folded as they are now.
    """
    left_out = {"folded", "described", "hidden", "mention_count", "mention_names", "mention_types"}
    body = {FORMER_NAMES.get(name, name): value for name, value in answer["_source"].items() if name not in left_out}
    if "text" in body:
        body |= _present({"folded": folded(body["text"])})
        named = ({**mention, "name": normalise(mention["text"])} for mention in body.get("mentions", ()))
        body |= {"mentions": list(named)}
    if "alt" in body:
        body |= {"described": _folded_alts(body["alt"])}
    return Document(answer["_id"], answer["_version"], body, hidden=answer["_source"].get("hidden") is True)


def folded(text: str) -> str | None:
    """Returns the text as it is searched, or None if the words of the raw one already are so."""
    result = fold(text)[0]
    return None if result == text.lower().translate(BLANKS) else result


def from_extraction(extraction: Extraction, confident: Sequence[Mention]) -> Document:
    """Returns the document of an extraction. It holds only the confident mentions."""
    tweet = extraction.tweet
    body = _body(extraction, confident)
    return Document(tweet.id, version(tweet.edit, "model", extraction.model_version), body | {"source": "model"})


def from_decision(decision: Decision) -> Document:
    """Returns the document of a decision. For a retraction or an answer, it holds the model's mentions."""
    task: ReviewTask = decision.task
    body = _body(task, decision.mentions)
    if decision.kind == "settle":
        body |= {"source": "human", "reviewer": decision.reviewer, "decided_at": _moment(decision.decided_at)}
        body |= _answers(decision)
    else:
        body |= {"source": "model"}
    return Document(task.tweet.id, version(task.tweet.edit, "human", stamp_ms(decision.decided_at)), body)


def marker(tweet_id: str) -> Document:
    """Returns what stays of an erased post. It holds nothing but the id. No later write can replace it."""
    return Document(tweet_id, ERASED, {"id": tweet_id, "erased": True})


def _body(read: Extraction | ReviewTask, mentions: Sequence[Mention]) -> dict[str, Any]:
    tweet, image = read.tweet, read.image
    author = {"id": tweet.author.id, "name": tweet.author.name} if tweet.author else {}
    return _present(
        {
            "id": tweet.id,
            "text": tweet.text,
            "folded": folded(tweet.text),
            "created_at": _moment(tweet.created_at) if tweet.created_at else None,
            "received_at": _moment(tweet.received_at) if tweet.received_at else None,
            "author": _present(author) or None,
            "lang": tweet.lang,
            "feed": tweet.source,
            "edit": tweet.edit,
            "reply_to": tweet.reply_to,
            "quote_of": tweet.quote_of,
            "media": [media.url for media in tweet.media] or None,
            **_alts(tweet),
            "image": _present({"status": image.status, "reason": image.reason}),
            "context": read.context,
            "mentions": [_mention(mention) for mention in sorted(mentions, key=_reading_order)],
            "accounts": [account.model_dump() for account in read.accounts] or None,
            "model": read.model,
            "model_version": read.model_version,
            "typicality": read.typicality,
        }
    )


def _counted(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields by which the mentions of a post are counted. They follow from `mentions`."""
    if "mentions" not in body:
        return {}
    names, types = ({mention[field] for mention in body["mentions"] if field in mention} for field in ("name", "type"))
    counted = {"mention_names": sorted(names), "mention_types": sorted(types)}
    return {"mention_count": len(body["mentions"])} | {field: values for field, values in counted.items() if values}


def _alts(tweet: Tweet) -> dict[str, Any]:
    """Returns the alt texts, if there are any, and the words by which they are searched."""
    alts = [media.alt or "" for media in tweet.media]
    return {"alt": alts, "described": _folded_alts(alts)} if any(alts) else {}


def _folded_alts(alts: Sequence[str]) -> list[str]:
    return [fold(alt)[0] for alt in alts if alt]


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


def _answers(decision: Decision) -> dict[str, Any]:
    """Returns the fields about what the person answered. Empty for a copy of the post that the person looked at."""
    if decision.copy_of is not None:
        return {}
    asked = {_reading_order(question.mention) for question in decision.task.questions}
    verdicts = [_verdict(verdict, asked) for verdict in decision.verdicts]
    return _present({"verdicts": verdicts or None, "bulk_id": decision.bulk_id})


def _verdict(verdict: Verdict, asked: Collection[tuple[int, int, str]]) -> dict[str, Any]:
    """`asked`: spans and types of the questions. A person may also change mentions that nobody asked about."""
    before, after = verdict.before, verdict.after
    return _present(
        {
            "action": verdict.action,
            "type_before": before and before.type,
            "type_after": after and after.type,
            "probability": before and before.probability,
            "is_asked": before is not None and _reading_order(before) in asked,
            "is_candidate": verdict.is_candidate,
            "is_audit": verdict.is_audit,
        }
    )


def _reading_order(mention: Mention) -> tuple[int, int, str]:
    return mention.start, mention.end, mention.type


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
