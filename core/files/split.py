"""Cuts bytes into posts: at line ends, at separators, or where a JSON value ends. Memory is bounded.

A post that is longer than `most` bytes is counted and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.files.stream import FileBroke, Malformed

PATTERNS = {
    "string": re.compile(rb'["\\]'),
    "value": re.compile(rb'(?s)"(?:[^"\\]++|\\.)*+"|["{}\[\]]'),  # a whole string, or a sign
    "word": re.compile(rb"[\s,\]}]"),
}
"""What may change the state of a value that is being read."""

NOT_BLANK = re.compile(rb"[^ \t\r\n]")


@dataclass(frozen=True)
class Oversized:
    """A post that is too long to be kept."""

    size: int  # in bytes


Record = bytes | Oversized


class _Kept:
    """The bytes of the post that is being read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = bytearray()
        self.size = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= self._most:
            self._bytes += part
        else:
            self._bytes.clear()

    def take(self) -> Record:
        record = bytes(self._bytes) if self.size <= self._most else Oversized(self.size)
        self._bytes.clear()
        self.size = 0
        return record


def lines(pieces: Iterable[bytes], end: bytes, most: int) -> Iterator[Record]:
    """Yields what stands between two `end` bytes, blank lines too, without `end`."""
    kept = _Kept(most)
    for piece in pieces:
        *ended, rest = piece.split(end)
        for part in ended:
            kept.add(part)
            yield kept.take()
        kept.add(rest)
    if kept.size:
        yield kept.take()


def sequence(pieces: Iterable[bytes], most: int) -> Iterator[Record]:
    """Yields the values of a JSON text sequence (RFC 7464). Each follows a byte 0x1e."""
    found = lines(pieces, b"\x1e", most)
    before = next(found, b"")
    if isinstance(before, Oversized) or before.strip():
        raise Malformed("something stands before the first separator")
    for record in found:
        yield record if isinstance(record, Oversized) else record.strip()


class Values:
    """Iterates over the items of one JSON array, or over objects that follow each other without an array.

    A value with balanced brackets is yielded as it stands, valid or not. What stands between values must be right.
    """

    def __init__(self, pieces: Iterable[bytes], most: int, *, array: bool) -> None:
        self._pieces = pieces
        self._kept = _Kept(most)
        self._array = array
        self._count = 0  # values that have begun
        self._depth = 0
        self._state = "open" if array else "objects"  # or first, value, comma, end: what may come between values
        self._inside: str | None = None  # or string, escape, value, word

    def __iter__(self) -> Iterator[Record]:
        for piece in self._pieces:
            at = 0
            while at < len(piece):
                if self._inside is None:
                    at = self._between(piece, at)
                    continue
                end = self._end(piece, at)
                self._kept.add(piece[at:end])
                at = end
                if self._inside is None:
                    self._state = "comma" if self._array else "objects"
                    yield self._kept.take()
        if self._inside is not None:
            raise FileBroke(f"the file ends in the middle of post {self._count}")
        if self._state not in {"objects", "end"}:
            raise FileBroke(f"the file ends before its array does, after post {self._count}")

    def _between(self, piece: bytes, at: int) -> int:
        """Reads on to the beginning of a value, or one sign between values. Returns where to go on."""
        found = NOT_BLANK.search(piece, at)
        if found is None:
            return len(piece)
        sign, at = found[0], found.start()
        if self._array and self._sign(sign):
            return at + 1
        if sign in b"/#":
            raise Malformed(f"a comment stands after post {self._count}; JSON has none, so remove it")
        if not self._array and sign not in b"{[":
            hint = "; put all posts between [ and ]" if sign == b"," else ""
            raise Malformed(f"after post {self._count}, {_shown(sign)} stands where a post should begin{hint}")
        self._count += 1
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
        if self._state == "end":
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
        elif self._state == "open":
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
            at = found.start() if inside == "word" else found.end()
            if inside == "word":
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


def _shown(sign: bytes) -> str:
    return repr(sign.decode("latin-1"))
