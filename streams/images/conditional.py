"""HTTP validators and freshness: how long a response stays valid, and how to ask whether it still is.

Follows RFC 9110, section 13, and RFC 9111, section 4.2. The values come from strangers and are sent back to them, so
the patterns are narrow. A value that does not match is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_CACHE_CONTROL = 1024
"""Characters of a Cache-Control header that are read. The rest is ignored."""

_ETAG = re.compile(r'(W/)?"[!#-~]{0,200}"', re.ASCII)  # RFC 9110, 8.8.3, ASCII only
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)  # RFC 9110, 5.6.7
_AGE = re.compile(r"\d{1,10}", re.ASCII)
_MAX_AGE = re.compile(r'max-age\s*=\s*("?)(\d{1,10})\1', re.ASCII)


@dataclass(frozen=True)
class Validators:
    """Identifies a response, so that a server can say whether it has changed. Malformed values become None.

    >>> Validators("http://a.example/b.jpg", '"v1"', "not a date").headers()
    {'If-None-Match': '"v1"'}
    """

    #: The URL that sent the response, after redirects.
    url: str
    etag: str | None = None
    modified: str | None = None

    def __post_init__(self) -> None:
        if self.etag is not None and not _ETAG.fullmatch(self.etag):
            object.__setattr__(self, "etag", None)
        if self.modified is not None and not _DATE.fullmatch(self.modified):
            object.__setattr__(self, "modified", None)

    def headers(self) -> dict[str, str]:
        """Returns the headers of a conditional request. Empty without validators."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in headers.items() if value is not None}


@dataclass(frozen=True)
class Freshness:
    """What a server says about caching its response. `Freshness()` means that it said nothing."""

    #: Seconds for which the response need not be checked again. None if the server does not say.
    fresh_s: float | None = None
    #: Whether the response may be stored.
    store: bool = True
    #: Whether the stale response may be used while the server fails.
    stale: bool = True


@dataclass(frozen=True)
class Answer:
    """A server's response with an image, or its confirmation that the image has not changed."""

    #: None for HTTP 304: the cached image is still valid.
    body: bytes | None
    validators: Validators
    freshness: Freshness = Freshness()


def parse_freshness(cache_control: Iterable[str], headers: Mapping[str, str]) -> Freshness:
    """Reads the caching headers. The response is fresh for the smallest max-age, minus its age on arrival."""
    ages: list[float] = []
    names: set[str] = set()
    for directive in ",".join(cache_control)[:MAX_CACHE_CONTROL].lower().split(","):
        names.add(directive.split("=")[0].strip())
        if match := _MAX_AGE.fullmatch(directive.strip()):
            ages.append(float(match[2]))
    if "no-cache" in names:
        ages.append(0.0)
    age = headers.get("Age", "0").strip()
    elapsed = float(age) if _AGE.fullmatch(age) else 0.0
    return Freshness(
        max(0.0, min(ages) - elapsed) if ages else None,
        store="no-store" not in names,
        stale=not names & {"no-cache", "must-revalidate"},
    )
