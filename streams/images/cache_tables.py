"""The tables of the image cache. Rows are validated when they are read, and the tables are kept within bounds."""

from __future__ import annotations

import hashlib
from sqlite3 import Connection
from sqlite3 import Row as Record
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from core.events import Value
from streams.images.decode import DECODER, LoadedImage
from streams.images.errors import MAX_REASON, Kind
from streams.images.formats import ImageFormat

VERSION = 5
"""Version of the tables below. A file of another version is replaced by an empty one."""

URL_BYTES = 10_000
"""The cache may remember one URL for each 10 kB of its size. An entry is at most half as large."""

MAX_URL, MAX_ETAG = 4096, 256
"""Longest URL and longest validator, in characters."""

SCHEMA = """
CREATE TABLE image(sha256 BLOB PRIMARY KEY, format TEXT, width INTEGER, height INTEGER, phash TEXT,
                   decoder INTEGER, used REAL, added REAL);
CREATE INDEX image_used ON image(used);
CREATE INDEX image_added ON image(added);
CREATE TABLE body(sha256 BLOB PRIMARY KEY REFERENCES image ON DELETE CASCADE, bytes BLOB);
CREATE TABLE answer(number INTEGER PRIMARY KEY, url BLOB UNIQUE, rules BLOB, checked REAL, fresh_s REAL, stale INTEGER,
                    sha256 BLOB REFERENCES image ON DELETE CASCADE, final TEXT, etag TEXT, modified TEXT);
CREATE INDEX answer_sha256 ON answer(sha256);
CREATE TABLE refusal(number INTEGER PRIMARY KEY, key BLOB UNIQUE, rules BLOB, checked REAL, kind TEXT, detail TEXT)
"""


class Row(Value):
    """A row of a table. Its fields are the columns that are needed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, row: Record) -> Self:
        """Validates a record. Raises `ValidationError`."""
        return cls(**{name: row[name] for name in cls.model_fields})


class ImageRow(Row):
    sha256: Annotated[bytes, Field(min_length=32, max_length=32)]
    format: ImageFormat
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    phash: str = Field(pattern=r"\A[0-9a-f]{64}\z")
    used: float = Field(allow_inf_nan=False)
    added: float = Field(allow_inf_nan=False)

    def to_image(self, url: str) -> LoadedImage:
        return LoadedImage(url, self.sha256.hex(), self.format, self.width, self.height, self.phash, None)


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


def url_key(url: str) -> bytes:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()


def content_key(sha256: str) -> bytes:
    """Returns the key of a file's refusal. No URL that is fetched has this scheme."""
    return url_key(f"sha256:{sha256}")


def find_answer(file: Connection, key: bytes, rules: bytes) -> Any:
    """Returns a record with the columns of `AnswerRow` and `ImageRow`, or None."""
    return file.execute(
        "SELECT * FROM answer JOIN image USING(sha256) WHERE url = ? AND rules = ? AND decoder = ?",
        (key, rules, DECODER),
    ).fetchone()


def find_refusal(file: Connection, key: bytes, rules: bytes) -> Any:
    return file.execute("SELECT * FROM refusal WHERE key = ? AND rules = ?", (key, rules)).fetchone()


def find_image(file: Connection, content: bytes) -> Any:
    return file.execute(
        "SELECT image.* FROM image JOIN body USING(sha256) WHERE sha256 = ? AND decoder = ?", (content, DECODER)
    ).fetchone()


def find_body(file: Connection, content: bytes) -> Any:
    return file.execute("SELECT bytes FROM body WHERE sha256 = ?", (content,)).fetchone()


def add_image(file: Connection, image: LoadedImage, body: bytes, now: float) -> None:
    content = bytes.fromhex(image.sha256)
    file.execute(
        "INSERT INTO image VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET format = excluded.format, "
        "width = excluded.width, height = excluded.height, phash = excluded.phash, decoder = excluded.decoder, "
        "used = excluded.used, added = excluded.added",
        (content, image.format, image.width, image.height, image.phash, DECODER, now, now),
    )
    file.execute("INSERT OR IGNORE INTO body VALUES(?, ?)", (content, body))


def add_answer(file: Connection, key: bytes, rules: bytes, content: bytes, row: AnswerRow, limit: int) -> None:
    """Adds what a URL served. Does nothing if the image was evicted meanwhile."""
    if not file.execute("SELECT 1 FROM image WHERE sha256 = ?", (content,)).fetchone():
        return
    file.execute("DELETE FROM refusal WHERE key = ?", (key,))
    file.execute(
        "INSERT OR REPLACE INTO answer(url, rules, sha256, checked, fresh_s, stale, final, etag, modified) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (key, rules, content, row.checked, row.fresh_s, row.stale, row.final, row.etag, row.modified),
    )
    _trim(file, "answer", limit)


def add_refusal(file: Connection, key: bytes, rules: bytes, row: RefusalRow, limit: int) -> None:
    file.execute(
        "INSERT OR REPLACE INTO refusal(key, rules, checked, kind, detail) VALUES(?, ?, ?, ?, ?)",
        (key, rules, row.checked, row.kind, row.detail),
    )
    _trim(file, "refusal", limit)


def _trim(file: Connection, table: Literal["answer", "refusal"], limit: int) -> None:
    """Deletes the oldest rows. A row gets a new number each time it is written, so low numbers are the oldest."""
    file.execute(f"DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?", (limit // URL_BYTES,))


def touch(file: Connection, content: bytes, now: float) -> None:
    """Marks an image as used."""
    file.execute("UPDATE image SET used = ? WHERE sha256 = ?", (now, content))


def drop(file: Connection, content: bytes) -> None:
    """Deletes an image and the answers of all URLs that served it."""
    file.execute("DELETE FROM image WHERE sha256 = ?", (content,))


def drop_added_before(file: Connection, moment: float) -> None:
    """Deletes the images that were fetched before this time, with the answers of their URLs, and older refusals."""
    file.execute("DELETE FROM image WHERE added <= ?", (moment,))
    file.execute("DELETE FROM refusal WHERE checked <= ?", (moment,))


def forget(file: Connection, key: bytes) -> bytes | None:
    """Deletes a URL's entries, and its image if no other URL served it. Returns the hash of a deleted image."""
    answer = file.execute("SELECT sha256 FROM answer WHERE url = ?", (key,)).fetchone()
    file.execute("DELETE FROM answer WHERE url = ?", (key,))
    file.execute("DELETE FROM refusal WHERE key = ?", (key,))
    if answer is None:
        return None
    deleted = file.execute(
        "DELETE FROM image WHERE sha256 = :content AND NOT EXISTS (SELECT 1 FROM answer WHERE sha256 = :content)",
        {"content": answer["sha256"]},
    )
    return bytes(answer["sha256"]) if deleted.rowcount else None


def evict(file: Connection, limit: int) -> None:
    """Deletes the least recently used images until the file uses at most `limit` bytes."""
    while _used_bytes(file) > limit:
        oldest = "(SELECT sha256 FROM image ORDER BY used LIMIT 1)"
        if not file.execute(f"DELETE FROM image WHERE sha256 = {oldest}").rowcount:
            return


def _used_bytes(file: Connection) -> int:
    pages, free, size = (
        file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
