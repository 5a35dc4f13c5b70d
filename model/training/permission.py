"""Which posts of a corpus may train, by the terms of their sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from core.errors import UserError
from core.terms import UNKNOWN, Sources
from core.text import plain


class _Sourced(Protocol):
    @property
    def source(self) -> str | None: ...


P = TypeVar("P", bound=_Sourced)


class Permission:
    """Leaves out posts whose sources may not train, and counts them.

    Without `sources`, every named source may not.
    """

    def __init__(self, sources: Sources | None = None) -> None:
        self._sources = sources or Sources()
        self.skipped: Counter[str] = Counter()
        """Source -> posts left out."""

    def of(self, examples: Sequence[P], path: Path) -> list[P]:
        """Returns the posts of a file that may train. Raises `UserError` when none is left."""
        if all(example.source is None for example in examples):
            return list(examples)
        named = [(example, UNKNOWN if example.source is None else example.source) for example in examples]
        skipped = Counter(source for _, source in named if not self._sources.of(source).may_train)
        self.skipped += skipped
        kept = [example for example, source in named if source not in skipped]
        if not kept:
            raise UserError(
                f"{path}: no post is left: {_listed(skipped)}, by the terms of their sources; "
                "leave the file out, or correct the terms if you have the right"
            )
        return kept

    def summary(self) -> str:
        """Says how many posts were left out, by source. Empty when there were none."""
        if not self.skipped:
            return ""
        return f"{self.skipped.total()} posts are skipped, by the terms of their sources: {_listed(self.skipped)}"


def _listed(skipped: Counter[str]) -> str:
    return ", ".join(f"{count} of {plain(source, 80)!r} may not train" for source, count in sorted(skipped.items()))
