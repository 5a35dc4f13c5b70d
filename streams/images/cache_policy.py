"""What is worth remembering of an image, for how long, and under which settings it holds."""

from __future__ import annotations

import hashlib
import json
import re

from streams.images.decode import DECODER
from streams.images.errors import ImageError, Kind
from streams.images.resolve import NO_ANSWER
from streams.images.retries import AGAIN_IN
from streams.settings import ImageLimits

BRIEF_S = 5.0
"""Seconds at most that a failure is remembered which may pass by itself."""

SENT_AWAY_S = 3600.0
"""Seconds at most that a server is not asked again which said when to come back (Retry-After)."""

STALE_TIMES = 24
"""Times `ImageLimits.cache_s` since the server last answered: so long a picture stands in for a server that fails."""

NOT_ITS_FAULT: frozenset[Kind] = frozenset({"internal", "host_down", "busy"})
BRIEF: frozenset[Kind] = frozenset({"timeout", "unreachable", "connection_lost"})
SERVERS: frozenset[Kind] = BRIEF | {"unresolvable", "tls", "bad_response", "host_down", "busy"}


def of_us(error: ImageError) -> bool:
    """Whether we did not come as far as to ask: it says nothing of the URL, and is never remembered."""
    return error.kind in NOT_ITS_FAULT


def of_server(error: ImageError) -> bool:
    """Whether the server or the way to it failed, rather than this image: what is kept then stands in (RFC 5861)."""
    return error.kind in SERVERS or _overloaded(error)


def remembered_s(error: ImageError, failed_s: float) -> float:
    """Seconds that a refusal is remembered, where `failed_s` is the setting."""
    if of_us(error):
        return 0
    if error.kind in BRIEF or _overloaded(error) or _unanswered(error):
        return max(min(BRIEF_S, failed_s), _sent_away_s(error)) if failed_s else 0
    return failed_s


def _overloaded(error: ImageError) -> bool:
    return re.match(r"http_status: HTTP (429|5\d\d)\b", error.reason) is not None


def _sent_away_s(error: ImageError) -> float:
    """Read from the reason, which is what the cache holds of an error."""
    after = re.fullmatch(rf"http_status: HTTP (429|503), {AGAIN_IN} (\d{{1,9}}) s", error.reason)
    return min(float(after[2]), SENT_AWAY_S) if after else 0.0


def _unanswered(error: ImageError) -> bool:
    return error.kind == "unresolvable" and error.reason.startswith(f"unresolvable: {NO_ANSWER}")


def rules(limits: ImageLimits) -> bytes:
    """What an entry of a URL was made under: it holds under the same settings and no others."""
    allowed = [sorted(limits.allow), sorted(limits.ports)]
    return _digest([*allowed, limits.max_bytes, decoding_rules(limits).hex()])


def decoding_rules(limits: ImageLimits) -> bytes:
    """What a file was refused under: by this decoder, and with no more pixels, memory and time than these."""
    return _digest([DECODER, limits.max_pixels, limits.memory_mb, limits.decode_s])


def _digest(values: list[object]) -> bytes:
    return hashlib.sha256(json.dumps(values).encode()).digest()
