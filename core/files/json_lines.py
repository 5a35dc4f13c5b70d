r"""Cuts bytes into lines or at separators, and mends lines of JSON that were joined or broken by other programs.

Some files mix line ends, or hold a post over several lines. Such a post takes the number of its first line. Blank
lines stand for its other lines, so that the numbers of later lines are right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from core.files.split import BLANK, MARK, Kept, Oversized, Record, Unended, is_broken, value_of
from core.files.stream import FileBroke, Malformed

LINE_ENDS = re.compile(rb"[\r\n]+")
BEFORE_TEXT = re.compile(rb"[\r\n]+(?=[^\r\n])")


def lines(pieces: Iterable[bytes], end: bytes, most: int) -> Iterator[Record]:
    """Yields what stands between two `end` bytes, blank lines too, without `end`."""
    kept = Kept(most)
    for piece in pieces:
        *ended, rest = piece.split(end)
        for part in ended:
            kept.add(part)
            yield kept.take()
        kept.add(rest)
    if kept.size:
        yield kept.last()


def sequence(pieces: Iterable[bytes], most: int) -> Iterator[Record]:
    """Yields the values of a JSON text sequence (RFC 7464). Each follows a byte 0x1e."""
    found = lines(pieces, b"\x1e", most)
    before = next(found, b"")
    if isinstance(before, Oversized) or before.strip(BLANK):
        raise Malformed("something stands before the first separator")
    for record in found:
        yield record if isinstance(record, Oversized) else type(record)(record.strip())


def json_lines(pieces: Iterable[bytes], end: bytes, most: int) -> Iterator[Record]:
    r"""Yields lines, without byte order marks. Joins posts over several lines. `end` is `\n` or `\r`."""
    block: list[bytes] = []  # the lines of a post since one that is just "{"
    size = 0
    try:
        for record in _by_any_end(_short_lines(pieces, end, most)):
            inside = block and isinstance(record, bytes) and not record.startswith(b"{")
            if isinstance(record, bytes) and inside and (size := size + len(record)) <= most:
                block.append(record)
                if record.startswith(b"}"):
                    yield from _joined(block)
                    block = []
                continue
            yield from block
            block = []
            if isinstance(record, bytes) and record.rstrip() == b"{":
                block, size = [record], len(record)
            else:
                yield record
    except (FileBroke, OSError):
        yield from block
        raise
    yield from map(Unended, block)


def _short_lines(pieces: Iterable[bytes], end: bytes, most: int) -> Iterator[Record]:
    """Yields what stands between two `end` bytes. A line that is too long ends at the other line end, too."""
    kept = Kept(most)
    for piece in _before_text(pieces, b"\r" if end == b"\n" else b"\n"):
        for number, line in enumerate(piece.split(end)):
            part = line
            if number:
                yield kept.take()
            if kept.size + len(part) > most:
                if kept.size <= most:
                    part = kept.held + part
                    kept.take()
                *ended, part = BEFORE_TEXT.split(part)
                for each in ended:
                    kept.add(each)
                    yield kept.take()
            kept.add(part)
    if kept.size:
        yield kept.last()


def _before_text(pieces: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    """Moves `end` from the end of a piece to the next one: what follows decides whether a line ends there."""
    held = b""
    for piece in pieces:
        whole = held + piece
        text = whole.removesuffix(end)
        held = whole[len(text) :]
        if text:
            yield text
    if held:
        yield held


def _joined(block: list[bytes]) -> Iterator[bytes]:
    whole = b"\n".join(block)
    if is_broken(whole):
        yield from block
        return
    yield whole
    for _ in block[1:]:
        yield b""


def _by_any_end(records: Iterable[Record]) -> Iterator[Record]:
    """Cuts broken lines at other line ends too, if a part is an object. Removes byte order marks."""
    for record in records:
        if isinstance(record, Oversized):
            yield record
            continue
        while record.startswith(MARK):
            record = type(record)(record[len(MARK) :])  # noqa: PLW2901
        parts = LINE_ENDS.split(record.strip(b"\r\n"))
        if len(parts) > 1 and is_broken(record) and any(isinstance(value_of(part), dict) for part in parts):
            yield from parts[:-1]
            yield type(record)(parts[-1])
        else:
            yield record
