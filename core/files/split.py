"""Cuts bytes into posts: at separators, or where a JSON value ends. Memory is bounded.

A post that is longer than `most` bytes is counted and not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from core.files.stream import FileBroke, Malformed

PATTERNS = {
    "string": re.compile(rb'["\\]'),
    "value": re.compile(rb'(?s)"(?:[^"\\]++|\\.)*+"|["{}\[\]]'),  # a whole string, or a sign
    "word": re.compile(rb"[\s,\]}]"),
    "junk": re.compile(rb"[\r\n{]"),
}
"""What may change the state of a value that is being read."""

MARK = b"\xef\xbb\xbf"
"""A byte order mark in UTF-8. Joined files have one before each part."""

BLANK = b" \t\r\n" + MARK
"""Bytes that may stand between posts. No JSON value begins with a byte of the mark, so each of them may go alone."""

NOT_BLANK = re.compile(rb"[^ \t\r\n\xef\xbb\xbf]")
LINE_WITH_OBJECT = re.compile(rb"[\r\n](?=\{)")
NOT_JSON = object()

AGAIN = 2
"""Among broken objects, at most as many bytes are read again as were read, and this many times the largest post."""


@dataclass(frozen=True)
class Oversized:
    """A post that is too long to be kept."""

    size: int  # in bytes


class Unended(bytes):
    """The last line of a file, without a line end, or its last block. A program may still be writing it."""


Record = bytes | Oversized


def value_of(text: bytes) -> Any:
    """Returns the JSON value, or `NOT_JSON` where there is none. Wrong bytes in it do not count here."""
    try:
        return json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return NOT_JSON


def is_broken(text: bytes) -> bool:
    """Returns whether the text breaks the rules of JSON. A number or a nesting that is too large does not."""
    try:
        json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        return isinstance(error, json.JSONDecodeError)
    return False


class Kept:
    """The bytes of the post that is being read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = bytearray()
        self.size = 0

    @property
    def held(self) -> bytes:
        """What is read so far. Nothing where it is too long."""
        return bytes(self._bytes)

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= self._most:
            self._bytes += part
        else:
            self._bytes.clear()

    def last(self) -> Record:
        """Does the same as `take`, at the end of a file."""
        record = self.take()
        return record if isinstance(record, Oversized) else Unended(record)

    def take(self) -> Record:
        record = bytes(self._bytes) if self.size <= self._most else Oversized(self.size)
        self._bytes.clear()
        self.size = 0
        return record


class Values:
    """Iterates over the items of JSON arrays, or over objects that follow each other without an array.

    A value with balanced brackets is yielded as it stands, valid or not. What stands between the items of an array must
    be right. Among objects, a broken one ends where the next line begins with `{`.
    """

    def __init__(self, pieces: Iterable[bytes], most: int, *, array: bool) -> None:
        self._pieces = pieces
        self._kept = Kept(most)
        self._most = most
        self._array = array
        self._spare = AGAIN * most  # bytes that may still be read again
        self._count = 0  # values that have begun
        self._depth = 0
        self._state = "open" if array else "objects"  # or first, value, comma, end: what may come between values
        self._inside: str | None = None  # or string, escape, value, word, junk

    def __iter__(self) -> Iterator[Record]:
        broke: Exception | None = None
        try:
            for piece in self._pieces:
                self._spare = min(AGAIN * self._most, self._spare + len(piece))
                yield from self._read(piece)
        except (FileBroke, OSError) as error:
            broke = error
        while self._inside is not None and self._is_several(self._kept.held):
            broken, rest = self._cut(self._kept.held)
            yield from broken
            yield from self._read(rest)
        if broke is not None:
            raise broke
        if self._inside == "junk":
            yield self._kept.take()
        elif self._inside is not None:
            raise FileBroke(f"the file ends in the middle of post {self._count}")
        elif self._state not in {"objects", "end"}:
            raise FileBroke(f"the file ends before its array does, after post {self._count}")

    def _read(self, piece: bytes) -> Iterator[Record]:
        at = 0
        while at < len(piece):
            if self._inside is None:
                at = self._between(piece, at)
                continue
            end = self._end(piece, at)
            part, at = piece[at:end], end
            too_long = self._kept.size + len(part) > self._most
            if (self._inside is None or too_long) and self._kept.size <= self._most:
                whole = self._kept.held + part
                if self._is_several(whole):
                    broken, rest = self._cut(whole)
                    yield from broken
                    piece, at = (piece, at - len(rest)) if len(rest) <= at else (rest + piece[at:], 0)
                    continue
            self._kept.add(part)
            if self._inside is None:
                self._state = "comma" if self._array else "objects"
                yield self._kept.take()

    def _is_several(self, text: bytes) -> bool:
        """Returns whether what was read as one object is broken, and another may begin on one of its lines."""
        return not self._array and LINE_WITH_OBJECT.search(text) is not None and is_broken(text)

    def _cut(self, text: bytes) -> tuple[list[bytes], bytes]:
        """Returns the broken object at the beginning of the text, and the rest, which is to be read again.

        Where too much was read again, each line with `{` at its beginning begins an object, and the rest is the last.
        """
        *broken, rest = LINE_WITH_OBJECT.split(text, 0 if self._spare < len(text) else 1)
        self._spare -= len(rest)
        self._kept.take()
        self._count += len(broken) - 1  # the first was counted, and the rest will be
        self._inside, self._depth = None, 0
        return broken, rest

    def _between(self, piece: bytes, at: int) -> int:
        """Reads on to the beginning of a value, or one sign between values. Returns where to go on."""
        found = NOT_BLANK.search(piece, at)
        if found is None:
            return len(piece)
        sign, at = found[0], found.start()
        if self._array and self._sign(sign):
            return at + 1
        if sign in b"/#" and (self._array or self._count <= 1):
            raise Malformed(f"a comment stands after post {self._count}; JSON has none, so remove it")
        if not self._array and sign == b"," and self._count == 1:
            raise Malformed(f"a comma stands after post {self._count}; put all posts between [ and ]")
        self._count += 1
        if not self._array and sign not in b"{[":
            self._inside = "junk"
            self._kept.add(sign)
            return at + 1
        if sign in b"{[":
            self._inside = "value"
        elif sign == b'"':
            self._inside = "string"
            self._kept.add(sign)
            return at + 1
        else:
            self._inside = "word"
        return at

    def _sign(self, sign: bytes) -> bool:
        """Takes a sign of the array itself. Returns False where a value begins."""
        place = f"after post {self._count}"
        if self._state == "end" and sign != b"[":
            raise Malformed(f"something follows the end of the array, {place}")
        if self._state == "comma" and sign not in b",]":
            if sign in b"/#":
                return False
            raise Malformed(f"a comma is missing {place}")
        if self._state == "value" and sign in b",]":
            raise Malformed(f"a comma stands {place} without a post behind it; remove the comma")
        if self._state == "first" and sign == b",":
            raise Malformed("a comma stands before the first post; remove it")
        if sign == b"]":
            self._state = "end"
        elif self._state in {"open", "end"}:
            self._state = "first"
        elif sign == b",":
            self._state = "value"
        else:
            return False
        return True

    def _end(self, piece: bytes, at: int) -> int:
        """Returns where the value ends in this piece, or the end of the piece. `_inside` is None if the value ends."""
        inside, depth = self._inside, self._depth
        while inside is not None and at < len(piece):
            if inside == "escape":
                inside, at = "string", at + 1
                continue
            found = PATTERNS[inside].search(piece, at)
            if found is None:
                at = len(piece)
                break
            sign = found[0]
            at = found.start() if inside in {"word", "junk"} else found.end()
            if inside in {"word", "junk"}:
                inside = None
            elif sign == b"\\":
                inside = "escape"
            elif sign == b'"' and inside == "string":
                inside = "value" if depth else None
            elif sign == b'"':
                inside = "string"
            elif sign[:1] != b'"':
                depth += 1 if sign in b"{[" else -1
                inside = "value" if depth else None
        self._inside, self._depth = inside, depth
        return at
