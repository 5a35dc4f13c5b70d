"""What is known about a tweet's images, in words: the second segment of the view `text+context`. No torch.

Pixels come in as the captions, tags and lines of text that were read of them, in that order (ITA: Wang et al., NAACL
2022), behind what people wrote themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.events import Tweet
from model.vision.values import VisualContext

MAX_CHARACTERS = 256
"""Some 64 subwords of English, which is what the encoder reads of a context (`max_context` of the checkpoint)."""

SHARES = (130, 40, 80)
"""Characters that sentences, tags and text in the picture get when all are long: a sentence, some tags, and the first
words of the text."""

TAG_SCORE = 0.3
"""Of real pictures, a tag below it is more often wrong than right (docs/vision.md, "Tags")."""

BETWEEN = " . "


def visual_context(tweet: Tweet) -> str | None:
    """The alternative texts of the tweet's media, joined; None when nobody wrote any.

    People wrote them, for those who cannot see the image. They play the part that machine captions play in training.
    """
    return context_text(tweet, None)


def context_text(tweet: Tweet, visual: VisualContext | None) -> str | None:
    """Alternative texts and the caption, then tags, then the text in the picture; None when there is nothing."""
    read = visual or VisualContext()
    sentences = [*(media.alt or "" for media in tweet.media), read.caption or ""]
    tags = (tag.label for tag in read.tags if tag.score >= TAG_SCORE)
    return in_words(sentences, tags, (line.text for line in read.lines))


def in_words(sentences: Iterable[str], tags: Iterable[str], lines: Iterable[str]) -> str | None:
    """What an image shows, its tags and its lines of text as one; None when there is nothing.

    Each of the three is cut at its share, and gets what the others leave. Nothing is said twice.
    """
    seen: set[str] = set()
    said, named, read = BETWEEN.join(_new(sentences, seen)), ", ".join(_new(tags, seen)), " ".join(_new(lines, seen))
    return BETWEEN.join(_bounded([said, named, read])) or None


def _new(texts: Iterable[str], seen: set[str]) -> list[str]:
    """Those that are not blank and were not seen before, on one line each."""
    found = []
    for text in (" ".join(text.split()) for text in texts):
        if text and text.casefold() not in seen:
            seen.add(text.casefold())
            found.append(text)
    return found


def _bounded(parts: list[str]) -> list[str]:
    """No more than `MAX_CHARACTERS` once joined; a part that keeps within its share is whole."""
    shares = [min(len(part), share) for part, share in zip(parts, SHARES, strict=True)]
    free = MAX_CHARACTERS - sum(shares) - len(BETWEEN) * (sum(map(bool, parts)) - 1)
    cut = []
    for part, share in zip(parts, shares, strict=True):
        room = share + max(0, min(free, len(part) - share))
        free -= room - share
        cut.append(part[:room].rstrip())
    return [part for part in cut if part]
