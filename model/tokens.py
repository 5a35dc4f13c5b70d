"""Turns raw posts into subwords with offsets in code points.

Imports no torch, because the pipeline's process runs this.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.errors import UserError
from core.events import HasSpan
from core.pixels import Pixels
from core.spelling import SIGILS
from model.addresses import end_of_address
from model.windows import Window, windows
from model.words import SENTENCE_ENDS, Word, split_words

SHAPES = ("other", "lower", "title", "upper", "mixed", "digit")
"""The casings of words. Each has an embedding, because an uncased encoder does not see casing."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One post for the network, small and picklable, since it is sent to the model's process.

    T subwords of text, W labelled words, P positions of the image's features, D their width, N windows.
    """

    text: tuple[int, ...]  # T ids, without special tokens
    shapes: tuple[int, ...]  # T indices into `SHAPES`
    context: tuple[int, ...] | None  # ids of the visual context, None if there is none
    heads: tuple[int, ...]  # W positions in `text` of each word's first subword
    spans: tuple[tuple[int, int], ...]  # W times [start, end) in code points of the raw text
    #: W times whether a line ends between this word and the one before. No mention crosses the end of a line.
    opens_line: tuple[bool, ...] = ()
    #: N windows [start, end) over `text`, in which the encoder reads it. Empty if it reads the text at once.
    windows: tuple[Window, ...] = ()
    #: W times whether the word is a part of an account, and so of no mention. Empty if none is.
    in_account: tuple[bool, ...] = ()
    image: NDArray[np.floating] | None = None  # (P, D) features of the image
    pixels: Pixels | None = None  # the image, until `image` holds its features
    later: tuple[Encoded, ...] = ()  # the same post for the later checkpoints of a cascade

    @property
    def stages(self) -> tuple[Encoded, ...]:
        """The post for each checkpoint of a cascade."""
        return (self, *self.later)

    @property
    def parts(self) -> tuple[Window, ...]:
        """The windows in which the encoder reads the text, at least one."""
        return self.windows or ((0, len(self.text)),)

    @property
    def cost(self) -> int:
        """Padded tokens of the longest view, with special tokens: the length of its longest sequence, once a window.

        For a cascade, this is the cost for the checkpoint for which the post costs most.
        """
        longest = max(end - start for start, end in self.parts)
        own = len(self.parts) * (longest + 2 + (0 if self.context is None else len(self.context) + 1))
        return max([own, *(later.cost for later in self.later)])

    @property
    def read(self) -> float:
        """The share of the text that the encoder reads."""
        ends = (0, *(end for _, end in self.parts))
        read = sum(end - max(start, before) for (start, end), before in zip(self.parts, ends, strict=False))
        return read / len(self.text) if self.text else 1.0


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """Ids of special tokens, and limits."""

    cls: int
    sep: int
    pad: int
    max_text: int  # subwords of text that are read at once
    max_context: int  # subwords of context that are read


class Tokenizes(Protocol):
    """Encodes posts, for one checkpoint or for several."""

    def encode(self, text: str, context: str | None, accounts: Sequence[HasSpan] = ()) -> Encoded:
        """Encodes a raw post. Spans are code points of `text`. The words of `accounts` are read, and in no mention."""


class TweetTokenizer:
    """Splits posts into words and subwords."""

    def __init__(self, tokenizer: Tokenizer, config: TokenizerConfig) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.config = config

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Loads `tokenizer.json` and the part `tokenizer` of `config.json`. Raises `UserError`."""
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), TokenizerConfig(**config["tokenizer"]))
        except OSError as error:
            raise UserError(f"no model checkpoint in {folder}: {error.strerror}: {error.filename}") from None
        except Exception as error:  # the tokenizers library raises bare Exception for a missing or broken file
            raise UserError(f"the checkpoint {folder} has a broken tokenizer: {error}") from None

    def encode(self, text: str, context: str | None, accounts: Sequence[HasSpan] = ()) -> Encoded:
        """Encodes a raw post. Spans are code points of `text`. The words of `accounts` are read, and in no mention."""
        return marked(self._encode(split_words(text), context), accounts)

    def encode_words(
        self,
        words: Sequence[str],
        context: str | None,
        image: NDArray[np.floating] | None = None,
        accounts: Sequence[HasSpan] = (),
    ) -> Encoded:
        """Encodes a post that a corpus has already split. The span of word i is (i, i + 1), in `accounts`, too."""
        parts: list[Word] = []
        for index, word in enumerate(words):
            sigil = len(word) - len(word.lstrip(SIGILS))
            if 0 < sigil < len(word):
                parts.append(Word(word[:sigil], index, index + 1, labelled=False))
            rest = word[sigil:] if sigil < len(word) else word
            parts.append(Word(rest, index, index + 1))
        return replace(marked(self._encode(parts, context), accounts), image=image)

    def _encode(self, words: Sequence[Word], context: str | None) -> Encoded:
        pieces = self.tokenizer.encode(
            [_read(word.text) for word in words], is_pretokenized=True, add_special_tokens=False
        )
        ids = tuple(pieces.ids)
        owners = [index for index in pieces.word_ids if index is not None]
        shapes = [shape(word.text) for word in words]
        first = {index: position for position, index in reversed(list(enumerate(owners)))}
        labelled = [(first[index], word) for index, word in enumerate(words) if word.labelled and index in first]
        lines = [word.line for _, word in labelled]
        return Encoded(
            text=ids,
            shapes=tuple(shapes[index] for index in owners),
            context=self._encode_context(context),
            heads=tuple(position for position, _ in labelled),
            spans=tuple((word.start, word.end) for _, word in labelled),
            opens_line=tuple(line != before for before, line in zip([*lines[:1], *lines], lines, strict=False)),
            windows=self._windows(len(ids), words, first),
        )

    def _windows(self, length: int, words: Sequence[Word], first: Mapping[int, int]) -> tuple[Window, ...]:
        """`first`: where in the text each word begins."""
        if length <= self.config.max_text:
            return ()
        begins = [
            index
            for index in first
            if index and (words[index - 1].text in SENTENCE_ENDS or words[index - 1].line != words[index].line)
        ]
        sentences = sorted(first[index] for index in begins)
        return windows(length, self.config.max_text, sorted(first.values()), sentences)

    def _encode_context(self, context: str | None) -> tuple[int, ...] | None:
        if context is None or not context.strip():
            return None
        clean = context.encode("utf-8", "replace").decode("utf-8")
        ids = self.tokenizer.encode(clean, add_special_tokens=False).ids[: self.config.max_context]
        return tuple(ids) or None


def marked(encoded: Encoded, accounts: Sequence[HasSpan]) -> Encoded:
    """Marks the words that overlap an account. The accounts are in order, and none overlaps another."""
    if not accounts:
        return encoded
    starts, ends = [each.start for each in accounts], [each.end for each in accounts]
    marks = [bisect_right(ends, start) < bisect_left(starts, end) for start, end in encoded.spans]
    return replace(encoded, in_account=tuple(marks)) if any(marks) else encoded


def _read(word: str) -> str:
    """Returns the encoder's input for a word. All URLs look alike."""
    return "http" if end_of_address(word, 0) else word


def shape(word: str) -> int:
    """Returns the index of the word's casing in `SHAPES`."""
    if word.isdigit():
        return SHAPES.index("digit")
    if word.islower():
        return SHAPES.index("lower")
    if word.istitle() and len(word) > 1:
        return SHAPES.index("title")
    if word.isupper():
        return SHAPES.index("upper" if len(word) > 1 else "title")
    return SHAPES.index("mixed" if any(map(str.isalpha, word)) else "other")
