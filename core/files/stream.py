"""Bytes that come in pieces, whose beginning may be looked at before they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

PIECE = 65_536
"""Largest number of bytes that are read or inflated at a time."""


class FileBroke(Exception):
    """A file cannot be read to its end. The message says why. Everything before that place was read."""


class Malformed(FileBroke):
    """A file breaks the rules of its own format at some place, though all its bytes are there."""


class Stream:
    """Pieces of bytes. `head`, `more` and `ahead` look ahead. Iterating gives each byte once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._error: Exception | None = None
        self._held: list[bytes] = []  # joined only when somebody looks, so that many small pieces take linear time
        self._size = 0

    @property
    def held(self) -> bytes:
        """All bytes that were looked at and not read."""
        self._hold(b"".join(self._held))
        return self._held[0]

    def more(self) -> bytes:
        """Reads one more piece, adds it to `held` and returns it. Returns nothing where the stream ends or breaks."""
        if self._error is not None:
            return b""
        try:
            piece = next((piece for piece in self._pieces if piece), b"")
        except (OSError, FileBroke) as error:
            self._error = error  # raised when the reader comes to this place
            return b""
        self._held.append(piece)
        self._size += len(piece)
        return piece

    def head(self, size: int) -> bytes:
        """Returns the next `size` bytes, or fewer where the stream ends. Waits for no more than these."""
        while self._size < size and self.more():
            pass
        return self.held[:size]

    def ahead(self, most: int) -> Iterator[bytes]:
        """Yields the next bytes, which stay held. Ends once more than `most` are held, or where the stream ends."""
        yield self.held
        while self._size <= most and (piece := self.more()):
            yield piece

    def skip(self, size: int) -> None:
        """Drops the next `size` bytes, which `head` has shown."""
        self._hold(self.held[size:])

    def put_back(self, data: bytes) -> None:
        """Puts bytes that were read before those that come next."""
        self._hold(data + self.held)

    def _hold(self, data: bytes) -> None:
        self._held, self._size = [data], len(data)

    def __iter__(self) -> Iterator[bytes]:
        while self._size or self.more():
            piece = self.held
            self._hold(b"")
            yield piece
        if self._error is not None:
            raise self._error


def pieces_of(source: IO[bytes]) -> Iterator[bytes]:
    """Yields what a file, a pipe or standard input gives, as soon as it is there."""
    read = getattr(source, "read1", source.read)
    while piece := read(PIECE):
        yield piece
