"""The context of a post: its images in words, the second segment of the view `text+context`. Imports no torch.

Alternative texts come first, then captions, tags and lines of text that the vision models read from the pixels
(ITA: Wang et al., NAACL 2022).
"""

from __future__ import annotations

from collections.abc import Iterable

from core.events import Tweet
from model.vision.values import VisualContext

MAX_CHARACTERS = 256
"""About 64 subwords of English, the length that the encoder reads (`max_context` of the checkpoint)."""

SHARES = (130, 40, 80)
"""Characters for sentences, tags and text in the image when all three are long."""

TAG_SCORE = 0.3
"""Below this score, tags of real images are wrong more often than right (docs/research/tags-and-text.md)."""

SEPARATOR = " . "


def visual_context(tweet: Tweet) -> str | None:
    """Returns the alternative texts of the post's media, joined, or None if there are none.

    Training used machine captions in their place.
    """
    return context_text(tweet, None)


def context_text(tweet: Tweet, visual: VisualContext | None) -> str | None:
    """Returns alternative texts and caption, then tags, then the text in the image. None if all are empty."""
    read = visual or VisualContext()
    sentences = [*(media.alt or "" for media in tweet.media), read.caption or ""]
    tags = (tag.label for tag in read.tags if tag.score >= TAG_SCORE)
    return in_words(sentences, tags, (line.text for line in read.lines))


def in_words(sentences: Iterable[str], tags: Iterable[str], lines: Iterable[str]) -> str | None:
    """Joins sentences about an image, its tags and its lines of text into one text. None if all are empty.

    Each of the three is cut to its share plus the characters that the others leave unused. Repeated parts are dropped.
    """
    seen: set[str] = set()
    parts = [SEPARATOR.join(_new(sentences, seen)), ", ".join(_new(tags, seen)), " ".join(_new(lines, seen))]
    return SEPARATOR.join(_bounded(parts)) or None


def _new(texts: Iterable[str], seen: set[str]) -> list[str]:
    """Returns the texts, each on one line, without blank ones and those in `seen`; adds them to `seen`."""
    result = []
    for text in (" ".join(text.split()) for text in texts):
        if text and text.casefold() not in seen:
            seen.add(text.casefold())
            result.append(text)
    return result


def _bounded(parts: list[str]) -> list[str]:
    """Cuts the parts so that they have at most `MAX_CHARACTERS` when joined. A part within its share is never cut."""
    shares = [min(len(part), share) for part, share in zip(parts, SHARES, strict=True)]
    free = MAX_CHARACTERS - sum(shares) - len(SEPARATOR) * (sum(map(bool, parts)) - 1)
    cut = []
    for part, share in zip(parts, shares, strict=True):
        room = share + max(0, min(free, len(part) - share))
        free -= room - share
        cut.append(part[:room].rstrip())
    return [part for part in cut if part]
