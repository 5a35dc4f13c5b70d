"""Caches images on disk: files by their SHA-256, and the last answer or refusal of each URL.

Nothing in the cache file is trusted. A row that does not validate and a file that does not match its hash are deleted
and count as missing. An entry is valid only under the rules (allowed hosts, ports, limits) under which it was made.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from streams import metrics
from streams.images import cache_tables as tables
from streams.images.cache_policy import (
    REFUSED_S,
    STALE_FACTOR,
    decoding_rules,
    is_local,
    is_server_failure,
    remembered_s,
    url_rules,
)
from streams.images.cache_tables import MAX_ETAG, MAX_URL, AnswerRow, ImageRow, RefusalRow, content_key, url_key
from streams.images.conditional import Answer, Freshness, Validators
from streams.images.database import Database
from streams.images.decode import LoadedImage
from streams.images.errors import ImageError
from streams.settings import ImageLimits

TOUCH_S = 60.0
"""The time of last use may be wrong by this many seconds, which saves a write on most hits."""


@dataclass(frozen=True)
class CachedImage:
    """The image that a URL served."""

    image: LoadedImage
    validators: Validators
    freshness: Freshness
    #: Whether the image may be used without asking the server.
    fresh: bool
    #: Whether the image may be used while the server fails.
    usable_when_stale: bool


@dataclass(frozen=True)
class CacheLookup:
    """The cached image and the remembered refusal of a URL.

    Both exist if the server first sent an image and has failed since.
    """

    cached: CachedImage | None = None
    refusal: ImageError | None = None


class ImageCache:
    """The file `<home>/cache/images.sqlite3`, of at most `cache_mb`. Without a `home` or with 0 MB it caches nothing.

    `clock` gives Unix time. Call `close` at the end.
    """

    def __init__(self, limits: ImageLimits, home: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = limits.cache_mb * 1_000_000
        self._fresh_s = limits.cache_s
        self._longest_s = limits.cache_hours * 3600
        self._url_rules = url_rules(limits)
        self._decoding_rules = decoding_rules(limits)
        self._clock = clock
        self._file: Database | None = None
        if home and self._max_bytes:
            self._file = Database(home / "cache" / "images.sqlite3", tables.SCHEMA, tables.VERSION, clock)

    def will_keep(self, answer: Answer) -> bool:
        """Predicts whether `keep` will store the answer. `keep` may still fail."""
        return (
            self._file is not None
            and not self._file.paused
            and answer.body is not None
            and self._may_keep(answer, answer.body)
        )

    def _may_keep(self, answer: Answer, body: bytes) -> bool:
        return answer.freshness.store and len(body) <= self._max_bytes / 2 and len(answer.validators.url) <= MAX_URL

    async def close(self) -> None:
        if self._file:
            await self._file.close()

    async def find(self, url: str) -> CacheLookup:
        """Returns what is cached for the URL under the present rules. The caller must have checked the URL."""
        if not self._file:
            return CacheLookup()
        key = url_key(url)
        records = await self._file.read(
            lambda file: (
                tables.find_answer(file, key, self._url_rules),
                tables.find_refusal(file, key, self._url_rules),
            )
        )
        answer, refusal = records or (None, None)
        if answer and self._is_too_old(answer):
            await self.drop_old()
            answer = None
        try:
            lookup = CacheLookup(answer and self._cached_image(url, answer), refusal and self._valid_refusal(refusal))
        except ValidationError:
            await self._file.write(lambda file: tables.forget(file, key))
            return CacheLookup()
        if answer and self._clock() - answer["used"] > TOUCH_S:
            await self._file.write(lambda file: tables.touch(file, answer["sha256"], self._clock()))
        return lookup

    def _is_too_old(self, record: sqlite3.Row) -> bool:
        """An image is not kept for ever, however fresh it is: nobody tells us that a post was deleted there."""
        age = self._clock() - record["added"]
        return not 0 <= age < self._longest_s

    async def drop_old(self) -> None:
        """Deletes all images that were fetched more than `cache_hours` ago."""
        if self._file and self._file.exists:
            await self._file.write(lambda file: tables.drop_added_before(file, self._clock() - self._longest_s))

    async def empty_log(self) -> None:
        """Empties the write-ahead log, which may still hold deleted bytes."""
        if self._file:
            await self._file.empty_log()

    async def forget(self, urls: Iterable[str]) -> list[str]:
        """Deletes what these URLs served, also from the write-ahead log.

        Returns the SHA-256 of each image that was deleted. An image that another URL served too stays.
        """
        if not (self._file and self._file.exists):
            return []
        results = [await self._file.write(partial(_forgotten, key=url_key(url))) for url in urls]
        if any(result and result[1] for result in results):
            await self._file.empty_log()
        return [result[0].hex() for result in results if result and result[0]]

    def _cached_image(self, url: str, record: sqlite3.Row) -> CachedImage:
        """Raises `ValidationError`."""
        image, answer = ImageRow.read(record), AnswerRow.read(record)
        age = self._clock() - answer.checked
        fresh_s = self._fresh_s if answer.fresh_s is None else min(self._fresh_s, answer.fresh_s)
        return CachedImage(
            image.to_image(url),
            Validators(answer.final, answer.etag, answer.modified),
            Freshness(answer.fresh_s, stale=bool(answer.stale)),
            fresh=0 <= age < fresh_s,
            usable_when_stale=bool(answer.stale) and 0 <= age < STALE_FACTOR * self._fresh_s,
        )

    def _valid_refusal(self, record: sqlite3.Row, valid_s: float | None = None) -> ImageError | None:
        """Returns None for a refusal that is too old. Raises `ValidationError`."""
        refusal = RefusalRow.read(record)
        error = ImageError(refusal.kind, refusal.detail)
        age = self._clock() - refusal.checked
        return error if 0 <= age < (remembered_s(error) if valid_s is None else valid_s) else None

    async def find_decoded(self, sha256: str, url: str) -> LoadedImage | None:
        """Returns the image in a file that any URL has served before, or None.

        Raises `ImageError` if decoding refused the file.
        """
        if not self._file:
            return None
        content, key = bytes.fromhex(sha256), content_key(sha256)
        records = await self._file.read(
            lambda file: (tables.find_image(file, content), tables.find_refusal(file, key, self._decoding_rules))
        )
        image_record, refusal_record = records or (None, None)
        if image_record and self._is_too_old(image_record):
            image_record = None
        try:
            image = image_record and ImageRow.read(image_record).to_image(url)
            refusal = refusal_record and self._valid_refusal(refusal_record, REFUSED_S)
        except ValidationError:
            await self._file.write(lambda file: tables.drop(file, content))
            await self._file.write(lambda file: tables.forget(file, key))
            return None
        if image or refusal:
            metrics.KNOWN.inc()
        if refusal and not image:
            raise refusal
        return image

    async def body(self, sha256: str) -> bytes | None:
        """Returns the file with this hash, or None. A file that does not match the hash is deleted."""
        if not self._file:
            return None
        content = bytes.fromhex(sha256)
        record, intact = await self._file.read(lambda file: _checked(tables.find_body(file, content), content)) or (
            None,
            False,
        )
        if record is None:
            return None
        if not intact:
            await self._file.write(lambda file: tables.drop(file, content))
            return None
        await self._file.write(lambda file: tables.touch(file, content, self._clock()))
        return bytes(record["bytes"])

    async def keep(self, image: LoadedImage, answer: Answer) -> bool:
        """Stores the image that a URL served. Returns whether it was stored, which the server may forbid."""
        key, content, body = url_key(image.url), bytes.fromhex(image.sha256), answer.body
        if not self._file or body is None:
            return False
        if not self._may_keep(answer, body):
            await self._file.write(lambda file: tables.forget(file, key))
            return False
        row = self._answer_row(answer.validators, answer.freshness)

        def write(file: sqlite3.Connection) -> bool:
            tables.add_image(file, image, body, self._clock())
            tables.add_answer(file, key, self._url_rules, content, row, self._max_bytes)
            tables.evict(file, self._max_bytes)
            return True

        return await self._file.write(write, len(body)) is True

    async def renew(self, cached: CachedImage, answer: Answer) -> None:
        """Notes that the server confirmed a cached image (HTTP 304). It stays fresh as long as before, unless the
        server now says otherwise."""
        if not self._file:
            return
        key, content = url_key(cached.image.url), bytes.fromhex(cached.image.sha256)
        freshness = cached.freshness if answer.freshness == Freshness() else answer.freshness
        row = self._answer_row(answer.validators, freshness)

        def write(file: sqlite3.Connection) -> None:
            if answer.freshness.store:
                tables.add_answer(file, key, self._url_rules, content, row, self._max_bytes)
            else:
                tables.forget(file, key)

        await self._file.write(write)

    async def refuse(self, url: str, error: ImageError) -> None:
        """Remembers that a URL was refused. Forgets its image, unless only the server failed."""
        if not self._file or is_local(error):
            return
        key, row = url_key(url), self._refusal_row(error)

        def write(file: sqlite3.Connection) -> None:
            if not is_server_failure(error):
                tables.forget(file, key)
            tables.add_refusal(file, key, self._url_rules, row, self._max_bytes)

        await self._file.write(write)

    async def refuse_content(self, sha256: str, error: ImageError) -> None:
        """Remembers that decoding refused a file. It is not decoded again, whichever URL serves it."""
        if not self._file or is_local(error):
            return
        key, row = content_key(sha256), self._refusal_row(error)
        await self._file.write(lambda file: tables.add_refusal(file, key, self._decoding_rules, row, self._max_bytes))

    def _refusal_row(self, error: ImageError) -> RefusalRow:
        return RefusalRow(checked=self._clock(), kind=error.kind, detail=error.reason.removeprefix(f"{error.kind}: "))

    def _answer_row(self, validators: Validators, freshness: Freshness) -> AnswerRow:
        """Leaves out validators that are too long. The next request is then not conditional."""
        etag, modified = (
            value if value and len(value) <= MAX_ETAG else None for value in (validators.etag, validators.modified)
        )
        return AnswerRow(
            checked=self._clock(),
            fresh_s=freshness.fresh_s,
            stale=1 if freshness.stale else 0,
            final=validators.url,
            etag=etag,
            modified=modified,
        )


def _forgotten(file: sqlite3.Connection, key: bytes) -> tuple[bytes | None, bool]:
    """Deletes a URL's entries. Returns the hash of a deleted image, and whether anything was deleted."""
    before = file.total_changes
    content = tables.forget(file, key)
    return content, file.total_changes > before


def _checked(record: sqlite3.Row | None, content: bytes) -> tuple[sqlite3.Row | None, bool]:
    """Returns the record, and whether its file matches the hash. Runs in the file's thread: hashing 10 MB is slow."""
    intact = (
        record is not None
        and isinstance(record["bytes"], bytes)
        and hashlib.sha256(record["bytes"]).digest() == content
    )
    return record, intact
