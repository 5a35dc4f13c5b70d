"""What was had of images, kept on disk: bodies by content (SHA-256), and for each URL its last answer or refusal.

Nothing in the file is trusted: a row that does not validate, a body that is not what its hash says, is as good as not
there and deleted. An entry holds under the rules (`image_allow`, ports, limits) that it was made under, and no others.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from streams.events import Value
from streams.images.conditional import Validators
from streams.images.database import Database
from streams.images.decode import Picture
from streams.images.errors import MAX_REASON, ImageError, Kind
from streams.settings import Settings

VERSION = 1
"""Of the tables below."""

DECODER = 1
"""To be raised with any change to what `decode` says of a picture: what an older one said is then decoded again."""

BRIEF_S = 5.0
"""Seconds at most that a failure is remembered which may pass by itself."""

STALE_TIMES = 24
"""Times `image_cache_s` since the server last answered: so long a picture stands in for a server that fails."""

TOUCH_S = 60.0
"""Seconds by which the order of use may be wrong; it saves a write on most hits."""

URL_BYTES = 10_000
"""One URL may be remembered for so many bytes of the bound. An entry is at most half as large."""

MAX_URL, MAX_ETAG = 4096, 256
"""Characters."""

SCHEMA = """
CREATE TABLE picture(sha256 BLOB PRIMARY KEY, format TEXT, width INTEGER, height INTEGER, phash TEXT,
                     decoder INTEGER, used REAL);
CREATE INDEX picture_used ON picture(used);
CREATE TABLE body(sha256 BLOB PRIMARY KEY REFERENCES picture ON DELETE CASCADE, bytes BLOB);
CREATE TABLE answer(number INTEGER PRIMARY KEY, url BLOB UNIQUE, rules BLOB, checked REAL, fresh_s REAL,
                    sha256 BLOB REFERENCES picture ON DELETE CASCADE, final TEXT, etag TEXT, modified TEXT);
CREATE INDEX answer_sha256 ON answer(sha256);
CREATE TABLE refusal(number INTEGER PRIMARY KEY, url BLOB UNIQUE, rules BLOB, checked REAL, kind TEXT, detail TEXT)
"""

NOT_ITS_FAULT: frozenset[Kind] = frozenset({"internal", "host_down"})
"""Never remembered of an image: the next one to ask for it may have more luck."""

BRIEF: frozenset[Kind] = frozenset({"timeout", "unreachable", "connection_lost"})
SERVERS: frozenset[Kind] = BRIEF | {"unresolvable", "tls", "bad_response", "host_down"}


def of_server(error: ImageError) -> bool:
    """Whether the server or the way to it failed, rather than this image: what is kept then stands in (RFC 5861)."""
    return error.kind in SERVERS or _overloaded(error)


def remembered_s(error: ImageError, failed_s: float) -> float:
    """Seconds that a refusal is remembered, where `failed_s` is the setting."""
    if error.kind in NOT_ITS_FAULT:
        return 0
    return min(BRIEF_S, failed_s) if error.kind in BRIEF or _overloaded(error) else failed_s


def _overloaded(error: ImageError) -> bool:
    return re.match(r"http_status: HTTP (429|5\d\d)\b", error.reason) is not None


@dataclass(frozen=True)
class Kept:
    """A picture that a URL had. `fresh`: no need to ask again. `stands_in`: good enough where the server fails."""

    picture: Picture
    validators: Validators
    fresh: bool
    stands_in: bool


@dataclass(frozen=True)
class Found:
    """What is known of a URL. Both, where a server had the picture and has failed since."""

    kept: Kept | None = None
    refusal: ImageError | None = None


class _Row(Value):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, row: sqlite3.Row) -> Self:
        """Raises `ValidationError`."""
        return cls(**{name: row[name] for name in cls.model_fields})


class _Picture(_Row):
    sha256: Annotated[bytes, Field(min_length=32, max_length=32)]
    format: Literal["JPEG", "PNG", "WEBP", "GIF"]
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    phash: str = Field(pattern=r"^[0-9a-f]{64}$")

    def of(self, url: str) -> Picture:
        return Picture(url, self.sha256.hex(), self.format, self.width, self.height, self.phash, None)


class _Answer(_Row):
    checked: float = Field(ge=0, allow_inf_nan=False)
    fresh_s: float | None = Field(ge=0, allow_inf_nan=False)
    final: str = Field(max_length=MAX_URL)
    etag: str | None = Field(max_length=MAX_ETAG)
    modified: str | None = Field(max_length=MAX_ETAG)


class _Refusal(_Row):
    checked: float = Field(ge=0, allow_inf_nan=False)
    kind: Kind
    detail: str = Field(max_length=MAX_REASON)


class ImageCache:
    """`<home>/cache/images.sqlite3`, at most `image_cache_mb` of it used. `clock`: unix seconds. To be closed."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._bytes = settings.image_cache_mb * 1_000_000
        self._keep_s = settings.image_cache_s
        self._failed_s = settings.image_cache_failed_s
        self._rules = _rules(settings)
        self._clock = clock
        self._file = (
            Database(settings.home / "cache" / "images.sqlite3", SCHEMA, VERSION, clock) if self._bytes else None
        )

    async def close(self) -> None:
        if self._file:
            await self._file.close()

    async def find(self, url: str) -> Found:
        """What is known of the URL under the rules of today. The caller has checked that it may be asked for."""
        if not self._file:
            return Found()
        rows = await self._file.read(lambda file: _rows(file, _key(url), self._rules))
        if rows is None or rows == (None, None):
            return Found()
        answer, refusal = rows
        try:
            found = Found(self._kept(url, answer), self._refusal(refusal))
        except ValidationError:
            await self._file.write(lambda file: _forget(file, _key(url)))
            return Found()
        if found.kept and answer and self._clock() - answer["used"] > TOUCH_S:
            await self._touch(answer["sha256"])
        return found

    def _kept(self, url: str, row: sqlite3.Row | None) -> Kept | None:
        if row is None:
            return None
        picture = _Picture.read(row)
        answer = _Answer.read(row)
        age = self._clock() - answer.checked
        fresh_s = self._keep_s if answer.fresh_s is None else min(self._keep_s, answer.fresh_s)
        return Kept(
            picture.of(url),
            Validators(answer.final, answer.etag, answer.modified),
            fresh=0 <= age < fresh_s,
            stands_in=0 <= age < STALE_TIMES * self._keep_s,
        )

    def _refusal(self, row: sqlite3.Row | None) -> ImageError | None:
        if row is None:
            return None
        refusal = _Refusal.read(row)
        error = ImageError(refusal.kind, refusal.detail)
        age = self._clock() - refusal.checked
        return error if 0 <= age < remembered_s(error, self._failed_s) else None

    async def known(self, sha256: str, url: str) -> Picture | None:
        """What decoding said of these bytes, whichever URL they came from."""
        if not self._file:
            return None
        content = bytes.fromhex(sha256)
        row = await self._file.read(
            lambda file: file.execute(
                "SELECT picture.* FROM picture JOIN body USING(sha256) WHERE sha256 = ? AND decoder = ?",
                (content, DECODER),
            ).fetchone()
        )
        if row is None:
            return None
        try:
            return _Picture.read(row).of(url)
        except ValidationError:
            await self._drop(content)
            return None

    async def body(self, sha256: str) -> bytes | None:
        """The file with this hash, checked against it."""
        if not self._file:
            return None
        content = bytes.fromhex(sha256)
        row = await self._file.read(
            lambda file: file.execute("SELECT bytes FROM body WHERE sha256 = ?", (content,)).fetchone()
        )
        if row is None:
            return None
        if isinstance(row["bytes"], bytes) and hashlib.sha256(row["bytes"]).digest() == content:
            await self._touch(content)
            return row["bytes"]
        await self._drop(content)
        return None

    async def keep(self, picture: Picture, body: bytes, validators: Validators, fresh_s: float | None) -> None:
        """The URL gave this picture. Not kept where the server forbids it (`fresh_s` 0)."""
        if not self._file:
            return
        if fresh_s == 0 or len(body) > self._bytes / 2 or len(validators.url) > MAX_URL:
            await self._file.write(lambda file: _forget(file, _key(picture.url)))
            return
        now, content = self._clock(), bytes.fromhex(picture.sha256)

        def write(file: sqlite3.Connection) -> None:
            file.execute(
                "INSERT INTO picture VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET format = excluded.format, "
                "width = excluded.width, height = excluded.height, phash = excluded.phash, "
                "decoder = excluded.decoder, used = excluded.used",
                (content, picture.format, picture.width, picture.height, picture.phash, DECODER, now),
            )
            file.execute("INSERT OR IGNORE INTO body VALUES(?, ?)", (content, body))
            self._note(file, picture.url, content, validators, fresh_s)
            _evict(file, self._bytes)

        await self._file.write(write)

    async def renew(self, picture: Picture, validators: Validators, fresh_s: float | None) -> None:
        """The server says that what is kept of the URL still holds (HTTP 304)."""
        if not self._file:
            return
        if fresh_s == 0:
            await self._file.write(lambda file: _forget(file, _key(picture.url)))
            return
        content = bytes.fromhex(picture.sha256)

        def write(file: sqlite3.Connection) -> None:
            if file.execute("SELECT 1 FROM picture WHERE sha256 = ?", (content,)).fetchone():
                self._note(file, picture.url, content, validators, fresh_s)

        await self._file.write(write)

    async def refuse(self, url: str, error: ImageError) -> None:
        """The URL was refused. One that the server means for good takes the picture with it that the URL had."""
        if not self._file or not remembered_s(error, self._failed_s):
            return
        detail = error.reason.removeprefix(f"{error.kind}: ")
        row = (_key(url), self._rules, self._clock(), error.kind, detail)

        def write(file: sqlite3.Connection) -> None:
            if not of_server(error):
                _forget(file, _key(url))
            file.execute("INSERT OR REPLACE INTO refusal(url, rules, checked, kind, detail) VALUES(?, ?, ?, ?, ?)", row)
            self._bound(file, "refusal")

        await self._file.write(write)

    def _note(
        self, file: sqlite3.Connection, url: str, content: bytes, validators: Validators, fresh_s: float | None
    ) -> None:
        tags = (tag if tag and len(tag) <= MAX_ETAG else None for tag in (validators.etag, validators.modified))
        file.execute("DELETE FROM refusal WHERE url = ?", (_key(url),))
        file.execute(
            "INSERT OR REPLACE INTO answer(url, rules, checked, fresh_s, sha256, final, etag, modified) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (_key(url), self._rules, self._clock(), fresh_s, content, validators.url, *tags),
        )
        self._bound(file, "answer")

    def _bound(self, file: sqlite3.Connection, table: Literal["answer", "refusal"]) -> None:
        """A row that is written takes the next number, so those far behind the newest are the longest unchecked."""
        count = self._bytes // URL_BYTES
        file.execute(f"DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?", (count,))

    async def _touch(self, content: bytes) -> None:
        assert self._file
        now = self._clock()
        await self._file.write(
            lambda file: file.execute("UPDATE picture SET used = ? WHERE sha256 = ?", (now, content)).rowcount
        )

    async def _drop(self, content: bytes) -> None:
        assert self._file
        await self._file.write(lambda file: file.execute("DELETE FROM picture WHERE sha256 = ?", (content,)).rowcount)


def _key(url: str) -> bytes:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()


def _rules(settings: Settings) -> bytes:
    rules = [sorted(settings.image_allow), sorted(settings.image_ports)]
    return hashlib.sha256(json.dumps([*rules, settings.image_max_bytes, settings.image_max_pixels]).encode()).digest()


def _rows(file: sqlite3.Connection, key: bytes, rules: bytes) -> tuple[sqlite3.Row | None, sqlite3.Row | None]:
    answer = file.execute(
        "SELECT answer.*, picture.* FROM answer JOIN picture USING(sha256) WHERE url = ? AND rules = ? AND decoder = ?",
        (key, rules, DECODER),
    ).fetchone()
    return answer, file.execute("SELECT * FROM refusal WHERE url = ? AND rules = ?", (key, rules)).fetchone()


def _content(file: sqlite3.Connection, content: bytes) -> sqlite3.Row | None:
    row: sqlite3.Row | None = file.execute(
        "SELECT picture.* FROM picture JOIN body USING(sha256) WHERE sha256 = ? AND decoder = ?", (content, DECODER)
    ).fetchone()
    return row


def _forget(file: sqlite3.Connection, key: bytes) -> None:
    """The URL and, where no other has it, its picture."""
    had = file.execute("SELECT sha256 FROM answer WHERE url = ?", (key,)).fetchone()
    file.execute("DELETE FROM answer WHERE url = ?", (key,))
    file.execute("DELETE FROM refusal WHERE url = ?", (key,))
    if had:
        file.execute(
            "DELETE FROM picture WHERE sha256 = :content AND NOT EXISTS (SELECT 1 FROM answer WHERE sha256 = :content)",
            {"content": had["sha256"]},
        )


def _evict(file: sqlite3.Connection, limit: int) -> None:
    """The least recently used pictures go until the used part of the file is within the bound."""
    while _used(file) > limit:
        oldest = "(SELECT sha256 FROM picture ORDER BY used LIMIT 1)"
        if not file.execute(f"DELETE FROM picture WHERE sha256 = {oldest}").rowcount:
            return


def _used(file: sqlite3.Connection) -> int:
    """Bytes."""
    pages, free, size = (
        file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
