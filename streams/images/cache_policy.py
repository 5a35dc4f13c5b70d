"""Decides which results are remembered, for how long, and under which settings they stay valid."""

from __future__ import annotations

import hashlib
import json
import re

from streams.images.decode import DECODER
from streams.images.errors import ImageError, Kind
from streams.images.resolve import NO_ANSWER
from streams.images.retries import AGAIN_IN
from streams.settings import ImageLimits

REFUSED_S = 60.0
"""Time, in seconds, for which a lasting refusal is remembered."""

PASSING_S = 5.0
"""Longest time, in seconds, that a passing failure is remembered, unless a Retry-After header asks for more."""

RETRY_AFTER_S = 3600.0
"""Longest time, in seconds, that a Retry-After header is obeyed."""

STALE_FACTOR = 24
"""A cached image is used while its server fails, for up to this multiple of the time that images stay fresh."""

LOCAL: frozenset[Kind] = frozenset({"internal", "host_down", "busy"})
PASSING: frozenset[Kind] = frozenset({"timeout", "unreachable", "connection_lost"})
SERVER: frozenset[Kind] = PASSING | {"unresolvable", "tls", "bad_response", "host_down", "busy"}


def is_local(error: ImageError) -> bool:
    """Whether this worker is at fault, or held the request back (host_down, busy).

    Such an error says nothing about the URL and is never remembered.
    """
    return error.kind in LOCAL


def is_server_failure(error: ImageError) -> bool:
    """Whether the server or the way to it failed. The cached image may then be used (RFC 5861)."""
    return error.kind in SERVER or _overloaded(error)


def remembered_s(error: ImageError) -> float:
    """Returns the seconds for which a refusal is remembered."""
    if is_local(error):
        return 0
    if error.kind in PASSING or _overloaded(error) or _unanswered(error):
        return max(PASSING_S, _retry_after_s(error))
    return REFUSED_S


def _overloaded(error: ImageError) -> bool:
    return re.match(r"http_status: HTTP (429|5\d\d)\b", error.reason) is not None


def _retry_after_s(error: ImageError) -> float:
    """Parses the reason, because the cache keeps nothing else of an error."""
    after = re.fullmatch(rf"http_status: HTTP (429|503), {AGAIN_IN} (\d{{1,9}}) s", error.reason)
    return min(float(after[2]), RETRY_AFTER_S) if after else 0.0


def _unanswered(error: ImageError) -> bool:
    return error.kind == "unresolvable" and error.reason.startswith(f"unresolvable: {NO_ANSWER}")


def url_rules(limits: ImageLimits) -> bytes:
    """Returns a digest of the settings under which a URL's entry was made. The entry is valid only under these."""
    allowed = [sorted(limits.allow), sorted(limits.ports)]
    return _digest([*allowed, limits.max_bytes, decoding_rules(limits).hex()])


def decoding_rules(limits: ImageLimits) -> bytes:
    """Returns a digest of the decoder and of its limits. A file's refusal is valid only under these."""
    return _digest([DECODER, limits.max_pixels, limits.memory_mb, limits.decode_s])


def _digest(values: list[object]) -> bytes:
    return hashlib.sha256(json.dumps(values).encode()).digest()
