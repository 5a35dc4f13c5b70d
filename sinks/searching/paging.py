"""The order of hits, and cursors: opaque texts that name a place in that order. Pure.

A cursor holds the sort values of a hit (`search_after`), so a page is as cheap as the first, however deep it lies. Ties
are broken by the post's id.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import UserError
from sinks.searching.state import Order
from sinks.searching.words import Clause

MAX_CURSOR = 1024
"""Longest text of a cursor, in characters."""

Direction = Literal["next", "previous"]
DESCENDING = {"best": True, "newest": True, "oldest": False}


@dataclass(frozen=True)
class Cursor:
    """The place after which a page begins, or before which it ends."""

    order: Order
    direction: Direction
    #: The sort values of a hit: its score if the order is `best`; its date in Unix milliseconds; its id.
    after: tuple[float | int | str, ...]

    def __str__(self) -> str:
        """Returns the text of the cursor: letters, digits, `-` and `_`."""
        told = json.dumps([self.order, self.direction, *self.after], separators=(",", ":"))
        return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, order: Order) -> Cursor:
        """Reads a cursor of a search in this order. Raises `UserError` for any other text."""
        cursor = cls._decoded(text) if len(text) <= MAX_CURSOR else None
        if cursor is None or cursor.order != order:
            raise UserError(f"page: the cursor belongs to no search that is sorted by {order}; go to the first page")
        return cursor

    @classmethod
    def _decoded(cls, text: str) -> Cursor | None:
        try:
            told = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            order, direction, *after = told
        except (ValueError, TypeError, RecursionError):
            return None
        if order not in DESCENDING or direction not in ("next", "previous") or not _are_values(order, after):
            return None
        return cls(order, direction, tuple(after))


def _are_values(order: str, after: list[Any]) -> bool:
    """Whether these are sort values of a hit. Elasticsearch would refuse others."""
    score, date, post = (
        after if order == "best" and len(after) == 3 else (0.0, *after) if len(after) == 2 else (0, 0, 0)
    )
    if type(score) not in (float, int) or type(date) is not int or type(post) is not str:
        return False
    return math.isfinite(score) and abs(score) < MAX_FLOAT and -(2**63) <= date < 2**63 and post.isprintable()


MAX_FLOAT = 3e38
"""Above all scores, which are 32-bit floats."""


def sort(order: Order, direction: Direction) -> list[Clause]:
    """Returns Elasticsearch's sort. Posts without a date come last in either order of time."""
    forward = direction == "next"
    names = {True: "desc", False: "asc"}
    date = {"order": names[DESCENDING[order] is forward], "missing": "_last" if forward else "_first"}
    keys: list[Clause] = [{"created_at": date}, {"id": {"order": names[not forward]}}]
    return [{"_score": {"order": names[forward]}}, *keys] if order == "best" else keys


@dataclass(frozen=True)
class Page:
    """The hits of a page, in order, and the cursors of the pages around it. A cursor is empty if there is no page."""

    hits: tuple[Any, ...]
    previous: str
    next: str

    @classmethod
    def of(cls, hits: list[Any], size: int, order: Order, cursor: Cursor | None) -> Page:
        """Reads Elasticsearch's hits, of which `size` + 1 were asked for."""
        is_more, hits = len(hits) > size, hits[:size]
        backward = cursor is not None and cursor.direction == "previous"
        if backward:
            hits = hits[::-1]
        before, after = (is_more, True) if backward else (cursor is not None, is_more)
        ends = [
            str(Cursor(order, way, tuple(hit["sort"]))) for way, hit in zip(WAYS, hits[:1] + hits[-1:], strict=False)
        ]
        previous, following = ends or ["", ""]
        return cls(tuple(hits), previous if before else "", following if after else "")


WAYS: tuple[Direction, Direction] = ("previous", "next")
