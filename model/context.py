"""What is known about a tweet's images, in words: the second segment of the view `text+context`. No torch."""

from __future__ import annotations

from streams.events import Tweet

MAX_CHARACTERS = 512
"""Longer than any context the encoder reads; bounds what travels and is stored."""


def visual_context(tweet: Tweet) -> str | None:
    """The alternative texts of the tweet's media, joined; None when nobody wrote any.

    People wrote them, for those who cannot see the image. They play the part that machine captions play in training;
    the pixels themselves are not read yet, so an image without an alternative text gives no context.
    """
    texts = (" ".join(media.alt.split()) for media in tweet.media if media.alt)
    return " . ".join(text for text in texts if text)[:MAX_CHARACTERS].strip() or None
