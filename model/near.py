"""What makes two posts near-duplicates: the same wording and the same image. Imports no torch.

The wording is the folded text (`core.spelling.fold`) without addresses, with single spaces. In its short form it also
lacks what a repost puts around the text: `RT @name:`, `via @name`, and handles at either end. Each code point of the
wording knows its place in the raw text, so a span of one post can be found in its copies.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from core.events import HasSpan, ImageResult, ReviewTask
from core.spelling import fold
from model.addresses import end_of_address
from model.words import split_words

Form = Literal["short", "whole"]
FORMS: tuple[Form, ...] = get_args(Form)

MIN_LETTERS = 20
"""Fewest letters and digits of a wording that two posts can share. Shorter ones, such as `Goal for Arsenal!`, are
written by many people about different events."""

RULES = "1"
"""Version of the rules. Whoever changes what a wording is must change it, so that old and new keys never mix."""

HANDLE = r"[@＠][\w.-]*\w(?:@[\w.-]*\w)?"
OPENING = re.compile(rf"\s*(?:(?:RT|MT)\b[\s:]*(?:{HANDLE}[\s:]*)?|via\s+{HANDLE}[\s:]*|{HANDLE}(?:\s*:)?(?=\s|$)\s*)+")
CLOSING = re.compile(rf"[(\[]?{HANDLE}[)\]]?")
VIA = ("via", "(via", "[via")


@dataclass(frozen=True)
class Wording:
    """What copies of a post share."""

    form: Form
    words: str
    #: For each code point of `words`, the code points [start, end) of the raw text that it stands for.
    places: tuple[tuple[int, int], ...]
    #: Parts [start, end) of the raw text that are left out.
    left_out: tuple[tuple[int, int], ...]

    @property
    def is_long_enough(self) -> bool:
        """Whether two posts with this wording count as copies."""
        return sum(map(str.isalnum, self.words)) >= MIN_LETTERS

    def shared(self, start: int, end: int) -> tuple[int, int] | None:
        """Returns the span [first, last) of `words` that stands for [start, end) of the raw text.

        Returns None if none stands for exactly this span.
        """
        first = bisect_left(self.places, (start, 0))
        last = bisect_left(self.places, (end, 0))
        return (first, last) if first < last and self.raw(first, last) == (start, end) else None

    def raw(self, first: int, last: int) -> tuple[int, int] | None:
        """Returns the span of the raw text that stands for [first, last) of `words`.

        Returns None if it would begin or end inside of a letter, or would hold a part that is left out.
        """
        if not 0 <= first < last <= len(self.places):
            return None
        if first and self.places[first - 1][0] == self.places[first][0]:
            return None  # one code point of the raw text stands for several: `ﬁ`
        if last < len(self.places) and self.places[last][0] == self.places[last - 1][0]:
            return None
        start, end = self.places[first][0], self.places[last - 1][1]
        return None if any(a < end and start < b for a, b in self.left_out) else (start, end)

    def leaves_out(self, span: HasSpan) -> bool:
        """Whether the span lies in the left out parts of the raw text."""
        return any(a <= span.start and span.end <= b for a, b in self.left_out)


def wording(text: str, form: Form = "short") -> Wording:
    """Returns the wording of a raw text."""
    left_out = [(word.start, word.end) for word in split_words(text) if end_of_address(word.text, 0)]
    if form == "short":
        left_out = _with_frame(text, left_out)
    folded, starts = fold(text)
    ends = _ends(text, starts)
    words: list[str] = []
    places: list[tuple[int, int]] = []
    outs = iter([*left_out, (len(text), len(text))])
    out = next(outs)
    for character, start, end in zip(folded, starts, ends, strict=False):
        while start >= out[1] and out[1] < len(text):
            out = next(outs)
        if out[0] <= start < out[1] or (character == " " and (not words or words[-1] == " ")):
            continue
        words.append(character)
        places.append((start, end))
    while words and words[-1] == " ":
        words.pop()
        places.pop()
    return Wording(form, "".join(words), tuple(places), tuple(left_out))


def near_key(task: ReviewTask) -> tuple[str, Form] | None:
    """Returns a digest that is the same for all copies of a task's post, and the form of the wording it is made of.

    The short form is used if all questions lie within it, otherwise the whole form. Returns None if the wording is too
    short, or if a question cannot be found in copies.
    """
    for form in FORMS:
        words = wording(task.tweet.text, form)
        if all(words.shared(asked.mention.start, asked.mention.end) for asked in task.questions):
            return (_digest(words, task.image), form) if words.is_long_enough else None
    return None


def _digest(words: Wording, image: ImageResult) -> str:
    parts = (RULES, words.form, words.words, _image(image))
    return sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


def _image(image: ImageResult) -> str:
    """Names the image. One that could not be fetched may be any image, so only its address can tell it apart."""
    if image.status == "ok" and image.phash is not None:
        return f"ok {image.phash}"
    return f"{image.status} {image.url or ''}"


def _with_frame(text: str, left_out: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Adds what a repost puts before and after the text to the parts that are left out, in order."""
    blank = list(text)
    for start, end in left_out:
        blank[start:end] = " " * (end - start)
    bare = "".join(blank)
    opening = OPENING.match(bare)
    first = opening.end() if opening else 0
    frame = [(0, first), (_end(bare, first), len(text))]
    return _merged([*left_out, *((a, b) for a, b in frame if a < b)])


def _end(text: str, first: int) -> int:
    """Returns where the text ends before the handles, and the words `via`, that stand behind it."""
    last = len(text)
    for token in reversed(list(re.finditer(r"\S+", text[first:]))):
        if not CLOSING.fullmatch(token[0]) and not (token[0].lower() in VIA and last < len(text)):
            break
        last = first + token.start()
    return last


def _merged(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _ends(text: str, starts: Sequence[int]) -> list[int]:
    """Returns where each code point of the folded text ends in the raw text, without format characters behind it."""
    ends: list[int] = []
    following = len(text)
    for place in reversed(range(len(starts) - 1)):
        if starts[place] < starts[place + 1]:
            following = starts[place + 1]
            while following - 1 > starts[place] and unicodedata.category(text[following - 1]) == "Cf":
                following -= 1
        ends.append(following)
    return ends[::-1]
