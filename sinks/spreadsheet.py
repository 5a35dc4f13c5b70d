"""Exports of an index's documents as a stream of bytes: JSON Lines, and CSV for spreadsheets. Pure over the documents.

A line of the CSV is one mention, since mentions are what people count and filter in a spreadsheet. The columns of the
post repeat on each of its lines. A post without mentions has one line, so that no post is missing; count the distinct
values of `id` to count posts. If the terms of a source do not let the text be shown, its lines hold only what
`sinks.exchange` writes of such posts: `id`, `source`, `created_at`, and the span and type of each mention.

The CSV follows RFC 4180, in UTF-8 with a byte order mark, by which Excel knows the encoding. A cell that a spreadsheet
would take for a formula begins with an apostrophe (OWASP, CSV injection). So does such a part of a cell after a
semicolon, a tab or a line break, since some programs begin a new cell there.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from core.terms import UNKNOWN, Sources
from sinks.exchange import SILENT, SPAN, line_of

Body = Mapping[str, Any]

BYTE_ORDER_MARK = "\ufeff"
BATCH = 200
"""Posts whose lines are joined into one part of the CSV's stream."""

OF_POST: dict[str, str] = {
    "id": "id",
    "source": "feed",
    "created_at": "created_at",
    "author_id": "author.id",
    "author_name": "author.name",
    "lang": "lang",
    "text": "text",
    "accounts": "accounts.name",
    "media": "media",
    "decided_by": "source",
    "reviewer": "reviewer",
    "decided_at": "decided_at",
    "model": "model",
    "model_version": "model_version",
}
"""Column -> field of the document. `accounts` holds the names and `media` the addresses, separated by blanks."""

OF_MENTION: dict[str, str] = {
    "mention": "text",
    "name": "name",
    "type": "type",
    "start": "start",
    "end": "end",
    "probability": "probability",
    "aleatoric": "aleatoric",
    "epistemic": "epistemic",
    "mention_source": "source",
}
"""Column -> field of the mention. `name`: under which the mention is counted. `start`, `end`: code points of `text`."""

_SIGNS = "=+@＝＋＠\\-－"
_FORMULA = re.compile(rf"\A(?=[\t\r\n{_SIGNS}])|(?<=[;\t\r\n])(?=[ \"']*(?!-\))[{_SIGNS}])|\A(?=[ \"']+[{_SIGNS}])")
"""Where an apostrophe goes. `;-)` keeps its form, since no formula begins with `-)`."""


def safe(value: object) -> str:
    """Returns the value as the text of a cell that no spreadsheet takes for a formula. None gives an empty cell."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) else _FORMULA.sub("'", str(value))


async def as_csv(documents: AsyncIterable[Body], sources: Sources) -> AsyncIterator[bytes]:
    """Yields the CSV in parts, the first with the names of the columns."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    buffer.write(BYTE_ORDER_MARK)
    writer.writerow([*OF_POST, *OF_MENTION])
    count = 0
    async for body in documents:
        writer.writerows(rows(body, sources))
        count += 1
        if count % BATCH == 0:
            yield _taken(buffer)
    yield _taken(buffer)


async def as_jsonl(documents: AsyncIterable[Body], sources: Sources) -> AsyncIterator[bytes]:
    """Yields a line of JSON for each document, as `sinks.exchange` writes it."""
    async for body in documents:
        yield line_of(body, sources.of(body.get("feed", UNKNOWN)))


def rows(body: Body, sources: Sources) -> Iterator[list[str]]:
    """Yields the lines of one document, as lists of safe cells."""
    may_show = sources.of(body.get("feed", UNKNOWN)).may_show_text
    post = [_of_post(body, field) if may_show or field in SILENT else "" for field in OF_POST.values()]
    mentions: Sequence[Body] = body.get("mentions") or ({},)
    for mention in mentions:
        fields = (mention.get(field) if may_show or field in SPAN else None for field in OF_MENTION.values())
        yield [*post, *map(safe, fields)]


def _of_post(body: Body, field: str) -> str:
    name, _, inner = field.partition(".")
    value = body.get(name)
    if inner:
        value = [each[inner] for each in value] if isinstance(value, list) else (value or {}).get(inner)
    return safe(" ".join(value) if isinstance(value, list) else value)


def _taken(buffer: io.StringIO) -> bytes:
    """Returns what the buffer holds, and empties it."""
    held = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return held
