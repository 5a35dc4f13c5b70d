"""Bulk requests: the lines of their bodies, and how large they may be.

The size adapts to what lies between us and the server. A proxy may allow smaller requests than the server, or cut long
ones off. So the size halves when a request is refused for its size or gets no answer, and grows again when requests
pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from sinks.index.document import Document

#: Largest size of one bulk request, in bytes. The vendor advises 5 to 15 MB.
BULK_BYTES = 5_000_000

#: Batches that must pass before the size doubles again: after a request was refused, and after one got no answer.
AFTER_REFUSED, AFTER_SLOW = 50, 4


class RequestSize:
    """The largest size of the next bulk request. Documents larger than that have a request of their own."""

    def __init__(self) -> None:
        self._share = 1.0
        self._passed = 0
        self._wanted = AFTER_SLOW

    @property
    def limit(self) -> int:
        """In bytes."""
        return int(BULK_BYTES * self._share)

    def refused(self, size: int) -> None:
        """A request of `size` bytes was refused for its size."""
        self._lower(size)
        self._wanted = AFTER_REFUSED

    def slow(self, size: int) -> None:
        """A request of `size` bytes got no answer."""
        self._lower(size)

    def passed(self, largest: int) -> None:
        """All requests of a batch got their answers, the largest with `largest` bytes.

        Requests grow only then, so that a harmful document ends up in a request of its own. Small requests of other
        agents prove nothing.
        """
        if largest < self.limit / 2:
            return
        self._passed += 1
        if self._passed >= self._wanted:
            self._share, self._passed = min(1.0, 2 * self._share), 0
            self._wanted = self._wanted if self._share < 1 else AFTER_SLOW

    def _lower(self, size: int) -> None:
        self._share = min(self._share, max(1.0, size / 2) / BULK_BYTES)
        self._passed = 0


#: A document's two lines of a bulk request: the action, and the document.
Pair = tuple[bytes, bytes]


def pair(document: Document, *, again: bool = False) -> Pair:
    """Returns the document's lines. With `again`, it may replace a document with the same version."""
    kind = "external_gte" if again else "external"
    action = {"index": {"_id": document.id, "version": document.version, "version_type": kind}}
    return json.dumps(action).encode(), document.encoded


def size_of(pairs: Iterable[Pair]) -> int:
    """Returns the size of a request in bytes, with its line ends."""
    return sum(len(action) + len(body) + 2 for action, body in pairs)


def parts(pairs: Sequence[Pair], size: RequestSize) -> Iterator[Sequence[Pair]]:
    """Yields the pairs in order, in requests of at most `size.limit` bytes, which may change between them."""
    start, grown = 0, 0
    for place in range(len(pairs)):
        own = size_of(pairs[place : place + 1])
        if place > start and grown + own > size.limit:
            yield pairs[start:place]
            start, grown = place, 0
        grown += own
    if start < len(pairs):
        yield pairs[start:]
