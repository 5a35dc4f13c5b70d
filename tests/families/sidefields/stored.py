"""A post on its way through the topics: written as a part of an extraction, and read again."""

from __future__ import annotations

from core.events import Extraction, Tweet


def stored(tweet: Tweet) -> Tweet:
    """Returns the post as the next agent reads it."""
    written = Extraction(tweet=tweet, model="m", model_version=1, threshold=0.9).model_dump_json()
    return Extraction.model_validate_json(written).tweet
