"""Reads the posts of a file that `mner export` wrote, in either layout, without a look at most of their fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from core.errors import UserError
from core.events import MAX_DERIVED_BYTES
from core.files.posts import open_lines
from core.files.split import Oversized, Record
from core.terms import UNKNOWN
from core.text import plain
from model.conll import NAMES, comment_in, read
from sinks.exchange import Exported, has_no_text

DATES = ("received_at", "created_at")

EDIT = re.compile(r"[0-9]{1,5}")
"""An edit has 16 bits."""


@dataclass(frozen=True)
class ExportedPost:
    """One post of an export. `content`: its bytes in the file."""

    id: str
    content: bytes
    source: str
    #: That of the text in the file. None if the file has no text of the post.
    edit: int | None
    #: The fields `received_at` and `created_at`, where the file has them.
    dates: dict[str, Any] = field(default_factory=dict)


def lines_of(file: IO[bytes]) -> Iterator[Record]:
    """Yields the lines, each with its line feed. A line that is longer than any of an export comes as `Oversized`."""
    for line in open_lines(file, MAX_DERIVED_BYTES):
        yield line if isinstance(line, Oversized) else line.rstrip(b"\r\n") + b"\n"


def too_long(size: int, what: Literal["line", "post"] = "line") -> str:
    """Returns what is wrong with a line, or all lines of a post, of this many bytes."""
    return f"the {what} has {size} bytes, which no export has; is it another file?"


def records(path: Path, size: int) -> Iterator[list[ExportedPost]]:
    """Yields the posts of an export, `size` at once. Raises `UserError` naming file, line and remedy."""
    try:
        with path.open("rb") as file:
            batch: list[ExportedPost] = []
            for post in _posts(lines_of(file), str(path)):
                batch.append(post)
                if len(batch) == size:
                    yield batch
                    batch = []
            if batch:
                yield batch
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def _posts(lines: Iterator[Record], name: str) -> Iterator[ExportedPost]:
    rows: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        if isinstance(line, Oversized):
            raise UserError(f"{name}:{number}: {too_long(line.size)}")
        if line.startswith(b"{") and not rows:
            yield _of_json(line, f"{name}:{number}")
        elif line.strip():
            if not rows and not begins_post(line):
                told = "begins no post of an export; a post begins with `{` or `# id`"
                raise UserError(f"{name}:{number}: {plain(line.decode(errors='replace'), 40)!r} {told}")
            rows.append(line)
        elif rows:
            yield _of_conll(rows)
            rows = []
    if rows:
        yield _of_conll(rows)


def begins_post(row: bytes) -> bool:
    """Whether a line is the first of a post in CoNLL layout."""
    comment = comment_in(row.decode(errors="replace"))
    return comment is not None and comment[0] == "id"


def _of_conll(rows: list[bytes]) -> ExportedPost:
    known = map(comment_in, (row.decode(errors="replace") for row in rows[: len(NAMES)]))
    comments = dict(reversed([comment for comment in known if comment]))  # of two lines with one name, the first holds
    edit = comments.get("edit", "")
    return ExportedPost(
        comments["id"],
        b"".join([*rows, b"\n"]),
        comments.get("source", UNKNOWN),
        int(edit) if EDIT.fullmatch(edit) else 0,
        {name: comments[name] for name in DATES if name in comments and _is_moment(comments[name])},
    )


class Block:
    """The lines of a post in CoNLL layout. Those of a post that is longer than any of an export are not kept."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.size = 0
        #: Whether a blank line follows, as after each post of an export.
        self.ended = False

    def add(self, row: bytes) -> None:
        self.size += len(row)
        if self.is_too_long:
            self.rows.clear()
        else:
            self.rows.append(row)

    @property
    def is_too_long(self) -> bool:
        return self.size > MAX_DERIVED_BYTES


MODEL = {"model": "conll", "model_version": 0}
"""The model of posts whose file names none."""


def of_words(rows: Iterable[str]) -> Exported:
    """Returns the post of a block in CoNLL layout. Raises `ValueError`, also as `ValidationError`.

    The layout has no blanks between words, and no figures: blanks join the words, and each mention is certain. The
    version of the model is 0. So any other reading of the same edit replaces a post of the model. A decision stays
    until a later one: its version is that of the person and of the time.
    """
    block = read(rows)
    comments = dict(block.comments)
    author, decided_by = comments.pop("author", None), "human" if "reviewer" in comments else "model"
    figures = {"probability": 1.0, "aleatoric": 0.0, "epistemic": 0.0, "source": decided_by}
    mentions = [
        {"start": start, "end": end, "type": kind, "text": block.text[start:end], **figures}
        for start, end, kind in block.spans
    ]
    edit = comments.pop("edit", "0")
    fields: dict[str, Any] = {"source": UNKNOWN} | comments | {"author": {"id": author} if author is not None else None}
    fields |= {"edit": int(edit) if EDIT.fullmatch(edit) else edit, "text": block.text, "mentions": mentions}
    return Exported.model_validate_json(json.dumps(fields | {"decided_by": decided_by} | MODEL))


def _of_json(line: bytes, place: str) -> ExportedPost:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{place}: is no JSON; was the file cut off?") from None
    name, source, edit = fields.get("id"), fields.get("source"), fields.get("edit")
    if not isinstance(name, str) or not name:
        raise UserError(f"{place}: id: must be a text (got {plain(repr(name), 80)}); is it an export?")
    dates = {field: fields[field] for field in DATES if isinstance(fields.get(field), str)}
    return ExportedPost(
        name,
        line,
        source if isinstance(source, str) else UNKNOWN,
        None if has_no_text(fields) else edit if isinstance(edit, int) else 0,
        {field: value for field, value in dates.items() if _is_moment(value)},
    )


def _is_moment(value: str) -> bool:
    from datetime import datetime

    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
