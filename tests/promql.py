"""Evaluates the few forms of PromQL that our alerts use, on two scrapes of a metrics page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Page = dict[str, dict[Labels, float]]
"""Name of the sample -> its labels -> its value."""

TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([a-zA-Z_]\w*)|(>=|[-+*>(){}\[\],=])|\"([^\"]*)\")")


def page_of(text: str) -> Page:
    """Reads a metrics page."""
    page: Page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            page.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return page


def selectors(expression: str) -> list[tuple[str, dict[str, str]]]:
    """Returns each metric that an expression names, with the labels that it asks for."""
    found = re.findall(r"\b(mner_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, dict(re.findall(r"(\w+)=\"([^\"]*)\"", labels))) for name, labels in found]


def evaluated(expression: str, before: Page, now: Page) -> dict[Labels, float]:
    """Returns the series that an alert fires for. `before`: the page at the beginning of each range."""
    parser = _Parser(expression, before, now)
    found = parser.either()
    assert parser.place == len(parser.tokens), f"cannot read {parser.tokens[parser.place :]} of {expression!r}"
    assert isinstance(found, dict)
    return found


class _Parser:
    def __init__(self, expression: str, before: Page, now: Page) -> None:
        self.tokens: list[str] = []
        end = 0
        while expression[end:].strip():
            found = TOKEN.match(expression, end)
            assert found, f"cannot read {expression[end:]!r}"
            self.tokens.append(next(group for group in found.groups() if group is not None))
            end = found.end()
        self.place, self._before, self._now = 0, before, now

    def _next(self, *wanted: str) -> str:
        """Returns the next token if it is one of these, or any, and steps over it. Else returns an empty text."""
        token = self.tokens[self.place] if self.place < len(self.tokens) else ""
        if wanted and token not in wanted:
            return ""
        self.place += 1
        return token

    def either(self) -> Any:
        found = self._compared()
        while self._next("or"):
            found = self._compared() | found  # of equal labels, the left one counts
        return found

    def _compared(self) -> Any:
        left = self._difference()
        if sign := self._next(">", ">="):
            right = self._difference()
            kept = _joined(
                left, right, lambda one, other: one if one > other or (sign == ">=" and one == other) else None
            )
            return {labels: value for labels, value in kept.items() if value is not None}
        return left

    def _difference(self) -> Any:
        found = self._product()
        while self._next("-"):
            found = _joined(found, self._product(), lambda one, other: one - other)
        return found

    def _product(self) -> Any:
        found = self._one()
        while self._next("*"):
            found = _joined(found, self._one(), lambda one, other: one * other)
        return found

    def _one(self) -> Any:
        token = self._next()
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return float(token)
        if token in {"scalar", "min", "absent", "increase"}:
            assert self._next("(")
            inner, before = self._inner() if token == "increase" else (self.either(), {})
            assert self._next(")")
            if token == "scalar":
                return next(iter(inner.values()), float("nan"))
            if token == "min":
                return {frozenset(): min(inner.values())} if inner else {}
            if token == "absent":
                return {} if inner else {frozenset(): 1.0}
            return {labels: value - before[labels] for labels, value in inner.items() if labels in before}
        return self._selected(token)[0]

    def _inner(self) -> tuple[Any, Any]:
        found = self._selected(self._next())
        assert self._next("[")
        while not self._next("]"):
            assert self._next(), "a range does not end"
        return found

    def _selected(self, name: str) -> tuple[dict[Labels, float], dict[Labels, float]]:
        """Returns the series of the name and the labels that follow, now and before."""
        assert name.startswith("mner_"), f"{name!r} is no metric of ours"
        wanted: set[tuple[str, str]] = set()
        if self._next("{"):
            while not self._next("}"):
                label = self._next()
                assert self._next("=")
                wanted.add((label, self._next()))
                self._next(",")
        now, before = (
            {labels: value for labels, value in page.get(name, {}).items() if wanted <= labels}
            for page in (self._now, self._before)
        )
        return now, before


def _joined(left: Any, right: Any, of: Callable[[float, float], Any]) -> Any:
    """Applies an operation to numbers, or to the series with equal labels."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return {labels: of(left[labels], right[labels]) for labels in left.keys() & right.keys()}
    if isinstance(left, Mapping):
        return {labels: of(value, right) for labels, value in left.items()}
    if isinstance(right, Mapping):
        return {labels: of(left, value) for labels, value in right.items()}
    return of(left, right)
