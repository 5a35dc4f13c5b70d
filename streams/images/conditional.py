"""What lets an answer be kept and asked for again cheaply: validators and freshness (RFC 9110, 13; RFC 9111, 4.2).

All of it comes from strangers and is sent back to them, hence the narrow patterns: what does not fit was not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_CACHE_CONTROL = 1024
"""Characters of Cache-Control that are read."""

_ETAG = re.compile(r'(W/)?"[!#-~]{0,200}"', re.ASCII)  # RFC 9110, 8.8.3, without its bytes beyond ASCII
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)  # RFC 9110, 5.6.7
_AGE = re.compile(r"\d{1,10}", re.ASCII)
_MAX_AGE = re.compile(r'max-age\s*=\s*("?)(\d{1,10})\1', re.ASCII)


@dataclass(frozen=True)
class Validators:
    """By what a server knows its answer again. `url` gave it, after redirects. What is malformed becomes None.

    >>> Validators("http://a.example/b.jpg", '"v1"', "not a date").headers()
    {'If-None-Match': '"v1"'}
    """

    url: str
    etag: str | None = None
    modified: str | None = None

    def __post_init__(self) -> None:
        if self.etag is not None and not _ETAG.fullmatch(self.etag):
            object.__setattr__(self, "etag", None)
        if self.modified is not None and not _DATE.fullmatch(self.modified):
            object.__setattr__(self, "modified", None)

    def headers(self) -> dict[str, str]:
        """Of the conditional request; none where there is nothing to ask by."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Life:
    """What a server says of keeping its answer. `Life()`: nothing.

    `fresh_s`: seconds for which there is no need to ask again; None where it does not say. `store`: it may be kept.
    `stale`: when it is not fresh any more it may stand in for a server that fails.
    """

    fresh_s: float | None = None
    store: bool = True
    stale: bool = True


@dataclass(frozen=True)
class Answer:
    """`body` None: HTTP 304, what is kept under the validators that were sent still holds."""

    body: bytes | None
    validators: Validators
    life: Life = Life()


def life(cache_control: Iterable[str], headers: Mapping[str, str]) -> Life:
    """Fresh for the smallest max-age, less the age that the answer had when it came."""
    ages: list[float] = []
    names: set[str] = set()
    for directive in ",".join(cache_control)[:MAX_CACHE_CONTROL].lower().split(","):
        names.add(directive.split("=")[0].strip())
        if found := _MAX_AGE.fullmatch(directive.strip()):
            ages.append(float(found[2]))
    if "no-cache" in names:
        ages.append(0.0)
    age = headers.get("Age", "0").strip()
    spent = float(age) if _AGE.fullmatch(age) else 0.0
    return Life(
        max(0.0, min(ages) - spent) if ages else None,
        store="no-store" not in names,
        stale=not names & {"no-cache", "must-revalidate"},
    )
