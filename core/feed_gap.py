"""The value on the topic `feeds.gaps`: a feed missed messages, or may have missed some."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from core import reading
from core.events import Value


class FeedGap(Value):
    """A gap in a feed. Unknown fields are None."""

    source: str = Field(min_length=1, max_length=reading.MAX_SOURCE)
    identity: str  # names the cursor of the feed
    reason: str = Field(min_length=1, max_length=2000)
    since: AwareDatetime | None = None  # the gap lies between these two times of the platform
    until: AwareDatetime | None = None
    size: int | None = Field(default=None, ge=0)  # messages missed
    noticed_at: AwareDatetime
