"""The keys of the pages for reviewers. Their sheets (`?`) and the tables in `docs/review.md` are made from these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.events import ENTITY_TYPES, EntityType


@dataclass(frozen=True)
class Key:
    """A line of a sheet. `names`: what the keys print. `does`: what they do; `type` is said after it."""

    names: Sequence[str]
    does: str
    type: EntityType | None = None


@dataclass(frozen=True)
class Keys:
    """A column of a sheet."""

    title: str
    keys: Sequence[Key]


ONE_BY_ONE = (
    Keys(
        "A post",
        (
            Key(("a",), "accept the mention as it is"),
            Key(("r",), "reject it: it is no entity"),
            *(Key((f"{number}",), "accept it as", kind) for number, kind in enumerate(ENTITY_TYPES, 1)),
            Key(("tab", "←", "→", "↑", "↓"), "go to another mention"),
            Key(("s",), "skip: others may get the post"),
            Key(("w",), "when no post is left: show what you skipped again"),
            Key(("f",), "flag: leave the post to somebody else, with a note"),
            Key(("u",), "undo the last answer, or open the last post again"),
        ),
    ),
    Keys(
        "A span",
        (
            Key(("e",), "edit the span; or select words in the text"),
            Key(("n",), "add a mention that the model missed; during an edit: the span as one more mention"),
            Key(("←", "→"), "move the edge by a word"),
            Key(("⇧←", "⇧→"), "move it by a character"),
            Key(("tab",), "the other edge, then both"),
            Key(("enter",), "keep the edited span"),
            Key(("1", "2", "3", "4"), "keep it with this type; a new mention needs one"),
            Key(("esc",), "cancel"),
            Key(("?",), "this sheet"),
        ),
    ),
)
"""Keys of `/review`."""

BY_NAME = (
    Keys(
        "The lines with a tick",
        (
            Key(("a",), "accept them"),
            Key(("r",), "reject them: they are no entities"),
            *(Key((f"{number}",), "accept them as", kind) for number, kind in enumerate(ENTITY_TYPES, 1)),
            Key(("u",), "undo the last answer, for all its lines"),
        ),
    ),
    Keys(
        "Lines and names",
        (
            Key(("↑", "↓", "k", "j"), "go to another line"),
            Key(("space",), "tick the line, or take its tick away"),
            Key(("x",), "tick all lines, or none"),
            Key(("←", "→", "[", "]"), "go to another name"),
            Key(("/",), "narrow the names"),
            Key(("?",), "this sheet"),
        ),
    ),
)
"""Keys of `/review/words`."""
