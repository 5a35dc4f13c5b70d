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
    """Pieces of bytes. `head` and `more` look ahead. Iterating gives each byte once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._error: Exception | None = None
        self.held = b""

    def more(self) -> bool:
        """Reads one more piece and adds it to `held`. Returns False where the stream ends or breaks."""
        if self._error is not None:
            return False
        try:
            piece = next((piece for piece in self._pieces if piece), b"")
        except (OSError, FileBroke) as error:
            self._error = error  # raised when the reader comes to this place
            return False
        self.held += piece
        return bool(piece)

    def head(self, size: int) -> bytes:
        """Returns the next `size` bytes, or fewer where the stream ends. Waits for no more than these."""
        while len(self.held) < size and self.more():
            pass
        return self.held[:size]

    def skip(self, size: int) -> None:
        """Drops the next `size` bytes, which `head` has shown."""
        self.held = self.held[size:]

    def __iter__(self) -> Iterator[bytes]:
        while self.held or self.more():
            piece, self.held = self.held, b""
            yield piece
        if self._error is not None:
            raise self._error


def pieces_of(source: IO[bytes]) -> Iterator[bytes]:
    """Yields what a file, a pipe or standard input gives, as soon as it is there."""
    read = getattr(source, "read1", source.read)
    while piece := read(PIECE):
        yield piece
