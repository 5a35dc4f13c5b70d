"""What was had of images, kept on disk: bodies by content (SHA-256), and for each URL its last answer or refusal.

Nothing in the file is trusted: a row that does not validate, a body that is not what its hash says, is as good as not
there and deleted. An entry holds under the rules (allowed hosts, ports, limits) that it was made under, and no others.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from streams import metrics
from streams.images import cache_tables as tables
from streams.images.cache_policy import STALE_TIMES, decoding_rules, of_server, of_us, remembered_s, rules
from streams.images.cache_tables import MAX_ETAG, MAX_URL, AnswerRow, PictureRow, RefusalRow, key_of, key_of_content
from streams.images.conditional import Answer, Life, Validators
from streams.images.database import Database
from streams.images.decode import Picture
from streams.images.errors import ImageError
from streams.settings import ImageLimits

TOUCH_S = 60.0
"""Seconds by which the order of use may be wrong; it saves a write on most hits."""


@dataclass(frozen=True)
class Kept:
    """A picture that a URL had. `fresh`: no need to ask again. `stands_in`: good enough where the server fails."""

    picture: Picture
    validators: Validators
    life: Life
    fresh: bool
    stands_in: bool


@dataclass(frozen=True)
class Found:
    """What is known of a URL. Both, where a server had the picture and has failed since."""

    kept: Kept | None = None
    refusal: ImageError | None = None


class ImageCache:
    """`<home>/cache/images.sqlite3`, at most `cache_mb` of it used. `clock`: unix seconds. To be closed.

    Without a `home` it keeps nothing.
    """

    def __init__(self, limits: ImageLimits, home: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._bytes = limits.cache_mb * 1_000_000
        self._keep_s = limits.cache_s
        self._failed_s = limits.cache_failed_s
        self._rules = rules(limits)
        self._decoding_rules = decoding_rules(limits)
        self._clock = clock
        self._file = (
            Database(home / "cache" / "images.sqlite3", tables.SCHEMA, tables.VERSION, clock)
            if home and self._bytes
            else None
        )

    def keeps(self, answer: Answer) -> bool:
        """Whether `keep` will, as far as can be told before."""
        return (
            self._file is not None
            and not self._file.away
            and answer.body is not None
            and self._worth_keeping(answer, answer.body)
        )

    def _worth_keeping(self, answer: Answer, body: bytes) -> bool:
        return answer.life.store and len(body) <= self._bytes / 2 and len(answer.validators.url) <= MAX_URL

    async def close(self) -> None:
        if self._file:
            await self._file.close()

    async def find(self, url: str) -> Found:
        """What is known of the URL under the rules of today. The caller has checked that it may be asked for."""
        if not self._file:
            return Found()
        key = key_of(url)
        rows = await self._file.read(
            lambda file: (tables.answer_of(file, key, self._rules), tables.refusal_of(file, key, self._rules))
        )
        answer, refusal = rows or (None, None)
        try:
            found = Found(answer and self._kept(url, answer), refusal and self._refusal(refusal))
        except ValidationError:
            await self._file.write(lambda file: tables.forget(file, key))
            return Found()
        if answer and self._clock() - answer["used"] > TOUCH_S:
            await self._file.write(lambda file: tables.touch(file, answer["sha256"], self._clock()))
        return found

    def _kept(self, url: str, row: sqlite3.Row) -> Kept:
        """Raises `ValidationError`."""
        picture, answer = PictureRow.read(row), AnswerRow.read(row)
        age = self._clock() - answer.checked
        fresh_s = self._keep_s if answer.fresh_s is None else min(self._keep_s, answer.fresh_s)
        return Kept(
            picture.of(url),
            Validators(answer.final, answer.etag, answer.modified),
            Life(answer.fresh_s, stale=bool(answer.stale)),
            fresh=0 <= age < fresh_s,
            stands_in=bool(answer.stale) and 0 <= age < STALE_TIMES * self._keep_s,
        )

    def _refusal(self, row: sqlite3.Row, remembered: float | None = None) -> ImageError | None:
        """None when it is longer ago than it is remembered (seconds). Raises `ValidationError`."""
        refusal = RefusalRow.read(row)
        error = ImageError(refusal.kind, refusal.detail)
        age = self._clock() - refusal.checked
        return error if 0 <= age < (remembered_s(error, self._failed_s) if remembered is None else remembered) else None

    async def known(self, sha256: str, url: str) -> Picture | None:
        """What decoding said of these bytes, from whichever URL. Raises `ImageError` where it refused them."""
        if not self._file:
            return None
        content, key = bytes.fromhex(sha256), key_of_content(sha256)
        rows = await self._file.read(
            lambda file: (tables.picture_of(file, content), tables.refusal_of(file, key, self._decoding_rules))
        )
        row, refused = rows or (None, None)
        try:
            picture = row and PictureRow.read(row).of(url)
            refusal = refused and self._refusal(refused, self._failed_s)
        except ValidationError:
            await self._file.write(lambda file: tables.drop(file, content))
            await self._file.write(lambda file: tables.forget(file, key))
            return None
        if picture or refusal:
            metrics.KNOWN.inc()
        if refusal and not picture:
            raise refusal
        return picture

    async def body(self, sha256: str) -> bytes | None:
        """The file with this hash, checked against it."""
        if not self._file:
            return None
        content = bytes.fromhex(sha256)
        row, whole = await self._file.read(lambda file: _checked(tables.body_of(file, content), content)) or (
            None,
            False,
        )
        if row is None:
            return None
        if not whole:
            await self._file.write(lambda file: tables.drop(file, content))
            return None
        await self._file.write(lambda file: tables.touch(file, content, self._clock()))
        return bytes(row["bytes"])

    async def keep(self, picture: Picture, answer: Answer) -> bool:
        """The URL gave this picture, with this body; whether it was kept. It is not where the server forbids it."""
        key, content, body = key_of(picture.url), bytes.fromhex(picture.sha256), answer.body
        if not self._file or body is None:
            return False
        if not self._worth_keeping(answer, body):
            await self._file.write(lambda file: tables.forget(file, key))
            return False
        row = self._answer(answer.validators, answer.life)

        def write(file: sqlite3.Connection) -> bool:
            tables.add_picture(file, picture, body, self._clock())
            tables.add_answer(file, key, self._rules, content, row, self._bytes)
            tables.evict(file, self._bytes)
            return True

        return await self._file.write(write, len(body)) is True

    async def renew(self, kept: Kept, answer: Answer) -> None:
        """The server says that what is kept of the URL still holds (HTTP 304); if no more, as long as before."""
        if not self._file:
            return
        key, content = key_of(kept.picture.url), bytes.fromhex(kept.picture.sha256)
        row = self._answer(answer.validators, kept.life if answer.life == Life() else answer.life)

        def write(file: sqlite3.Connection) -> None:
            if answer.life.store:
                tables.add_answer(file, key, self._rules, content, row, self._bytes)
            else:
                tables.forget(file, key)

        await self._file.write(write)

    async def refuse(self, url: str, error: ImageError) -> None:
        """The URL was refused. Where its server has spoken, the picture that it had goes too."""
        if not self._file or of_us(error):
            return
        key, refusal = key_of(url), self._refused(error)

        def write(file: sqlite3.Connection) -> None:
            if not of_server(error):
                tables.forget(file, key)
            if remembered_s(error, self._failed_s):
                tables.add_refusal(file, key, self._rules, refusal, self._bytes)

        await self._file.write(write)

    async def refuse_content(self, sha256: str, error: ImageError) -> None:
        """Decoding refused this file, which is not tried again under any URL for as long as a refusal is remembered."""
        if not self._file or of_us(error) or not self._failed_s:
            return
        key, refusal = key_of_content(sha256), self._refused(error)
        await self._file.write(lambda file: tables.add_refusal(file, key, self._decoding_rules, refusal, self._bytes))

    def _refused(self, error: ImageError) -> RefusalRow:
        return RefusalRow(checked=self._clock(), kind=error.kind, detail=error.reason.removeprefix(f"{error.kind}: "))

    def _answer(self, validators: Validators, life: Life) -> AnswerRow:
        """A validator too long to be one is left out: the next request is then not conditional."""
        etag, modified = (
            tag if tag and len(tag) <= MAX_ETAG else None for tag in (validators.etag, validators.modified)
        )
        return AnswerRow(
            checked=self._clock(),
            fresh_s=life.fresh_s,
            stale=1 if life.stale else 0,
            final=validators.url,
            etag=etag,
            modified=modified,
        )


def _checked(row: sqlite3.Row | None, content: bytes) -> tuple[sqlite3.Row | None, bool]:
    """The row, and whether its body is what the hash says. For the file's thread: hashing 10 MB takes a while."""
    return row, row is not None and isinstance(row["bytes"], bytes) and hashlib.sha256(row["bytes"]).digest() == content
