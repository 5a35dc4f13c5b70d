"""The tables of the cache: how they are made, read with suspicion, and kept within bounds."""

from __future__ import annotations

import hashlib
from sqlite3 import Connection
from sqlite3 import Row as Record
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from core.events import Value
from streams.images.decode import DECODER, Picture
from streams.images.errors import MAX_REASON, Kind

VERSION = 3
"""Of the tables below."""

URL_BYTES = 10_000
"""One URL may be remembered for so many bytes of the bound. An entry is at most half as large."""

MAX_URL, MAX_ETAG = 4096, 256
"""Characters."""

SCHEMA = """
CREATE TABLE picture(sha256 BLOB PRIMARY KEY, format TEXT, width INTEGER, height INTEGER, phash TEXT,
                     decoder INTEGER, used REAL);
CREATE INDEX picture_used ON picture(used);
CREATE TABLE body(sha256 BLOB PRIMARY KEY REFERENCES picture ON DELETE CASCADE, bytes BLOB);
CREATE TABLE answer(number INTEGER PRIMARY KEY, url BLOB UNIQUE, rules BLOB, checked REAL, fresh_s REAL, stale INTEGER,
                    sha256 BLOB REFERENCES picture ON DELETE CASCADE, final TEXT, etag TEXT, modified TEXT);
CREATE INDEX answer_sha256 ON answer(sha256);
CREATE TABLE refusal(number INTEGER PRIMARY KEY, key BLOB UNIQUE, rules BLOB, checked REAL, kind TEXT, detail TEXT)
"""


class Row(Value):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, row: Record) -> Self:
        """Raises `ValidationError`."""
        return cls(**{name: row[name] for name in cls.model_fields})


class PictureRow(Row):
    sha256: Annotated[bytes, Field(min_length=32, max_length=32)]
    format: Literal["JPEG", "PNG", "WEBP", "GIF"]
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    phash: str = Field(pattern=r"\A[0-9a-f]{64}\z")
    used: float = Field(allow_inf_nan=False)

    def of(self, url: str) -> Picture:
        return Picture(url, self.sha256.hex(), self.format, self.width, self.height, self.phash, None)


class AnswerRow(Row):
    checked: float = Field(ge=0, allow_inf_nan=False)
    fresh_s: float | None = Field(ge=0, allow_inf_nan=False)
    stale: Literal[0, 1]
    final: str = Field(max_length=MAX_URL)
    etag: str | None = Field(max_length=MAX_ETAG)
    modified: str | None = Field(max_length=MAX_ETAG)


class RefusalRow(Row):
    checked: float = Field(ge=0, allow_inf_nan=False)
    kind: Kind
    detail: str = Field(max_length=MAX_REASON)


def key_of(url: str) -> bytes:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()


def key_of_content(sha256: str) -> bytes:
    """Under which the refusal of a file stands. No URL that is asked for has this scheme."""
    return key_of(f"sha256:{sha256}")


def answer_of(file: Connection, key: bytes, rules: bytes) -> Any:
    """A row for `AnswerRow` and `PictureRow`, and when the picture was `used`; or None."""
    return file.execute(
        "SELECT * FROM answer JOIN picture USING(sha256) WHERE url = ? AND rules = ? AND decoder = ?",
        (key, rules, DECODER),
    ).fetchone()


def refusal_of(file: Connection, key: bytes, rules: bytes) -> Any:
    return file.execute("SELECT * FROM refusal WHERE key = ? AND rules = ?", (key, rules)).fetchone()


def picture_of(file: Connection, content: bytes) -> Any:
    return file.execute(
        "SELECT picture.* FROM picture JOIN body USING(sha256) WHERE sha256 = ? AND decoder = ?", (content, DECODER)
    ).fetchone()


def body_of(file: Connection, content: bytes) -> Any:
    return file.execute("SELECT bytes FROM body WHERE sha256 = ?", (content,)).fetchone()


def add_picture(file: Connection, picture: Picture, body: bytes, now: float) -> None:
    content = bytes.fromhex(picture.sha256)
    file.execute(
        "INSERT INTO picture VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET format = excluded.format, "
        "width = excluded.width, height = excluded.height, phash = excluded.phash, decoder = excluded.decoder, "
        "used = excluded.used",
        (content, picture.format, picture.width, picture.height, picture.phash, DECODER, now),
    )
    file.execute("INSERT OR IGNORE INTO body VALUES(?, ?)", (content, body))


def add_answer(file: Connection, key: bytes, rules: bytes, content: bytes, row: AnswerRow, limit: int) -> None:
    """Where the picture is gone meanwhile, nothing."""
    if not file.execute("SELECT 1 FROM picture WHERE sha256 = ?", (content,)).fetchone():
        return
    file.execute("DELETE FROM refusal WHERE key = ?", (key,))
    file.execute(
        "INSERT OR REPLACE INTO answer(url, rules, sha256, checked, fresh_s, stale, final, etag, modified) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (key, rules, content, row.checked, row.fresh_s, row.stale, row.final, row.etag, row.modified),
    )
    _bound(file, "answer", limit)


def add_refusal(file: Connection, key: bytes, rules: bytes, row: RefusalRow, limit: int) -> None:
    file.execute(
        "INSERT OR REPLACE INTO refusal(key, rules, checked, kind, detail) VALUES(?, ?, ?, ?, ?)",
        (key, rules, row.checked, row.kind, row.detail),
    )
    _bound(file, "refusal", limit)


def _bound(file: Connection, table: Literal["answer", "refusal"], limit: int) -> None:
    """A row that is written takes the next number, so those far behind the newest are the longest unchecked."""
    file.execute(f"DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?", (limit // URL_BYTES,))


def touch(file: Connection, content: bytes, now: float) -> None:
    file.execute("UPDATE picture SET used = ? WHERE sha256 = ?", (now, content))


def drop(file: Connection, content: bytes) -> None:
    """The picture, and with it what any URL is known to have had of it."""
    file.execute("DELETE FROM picture WHERE sha256 = ?", (content,))


def forget(file: Connection, key: bytes) -> None:
    """The URL and, where no other has it, its picture."""
    had = file.execute("SELECT sha256 FROM answer WHERE url = ?", (key,)).fetchone()
    file.execute("DELETE FROM answer WHERE url = ?", (key,))
    file.execute("DELETE FROM refusal WHERE key = ?", (key,))
    if had:
        file.execute(
            "DELETE FROM picture WHERE sha256 = :content AND NOT EXISTS (SELECT 1 FROM answer WHERE sha256 = :content)",
            {"content": had["sha256"]},
        )


def evict(file: Connection, limit: int) -> None:
    """The least recently used pictures go until the used part of the file is within the bound."""
    while _used(file) > limit:
        oldest = "(SELECT sha256 FROM picture ORDER BY used LIMIT 1)"
        if not file.execute(f"DELETE FROM picture WHERE sha256 = {oldest}").rowcount:
            return


def _used(file: Connection) -> int:
    """Bytes."""
    pages, free, size = (
        file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
