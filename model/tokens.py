"""From a raw tweet to what the encoder reads, and back to code points. Imports no torch: the pipeline runs it too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.errors import UserError
from core.pixels import Pixels
from model.words import SIGILS, URL, Word, split_words

SHAPES = ("other", "lower", "title", "upper", "mixed", "digit")
"""The casing of a word, which an uncased encoder would not see: one embedding each."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tweet for the network. Small and picklable: it crosses to the model's process.

    `text`: ids of the T subwords, without special tokens; `shapes`: T indices into `SHAPES`;
    `context`: ids of the visual context, None when the tweet has none;
    `heads`: for each of the W labelled words the index of its first subword in `text`;
    `spans`: for each of them [start, end) in code points of the raw tweet;
    `pixels`: its image, for a model that sees; `image`: (P, D) features made of it. None when there are none.
    """

    text: tuple[int, ...]
    shapes: tuple[int, ...]
    context: tuple[int, ...] | None
    heads: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    image: NDArray[np.floating] | None = None
    pixels: Pixels | None = None

    @property
    def cost(self) -> int:
        """Tokens of the longest view's sequence, special tokens included: what padding is counted in."""
        return len(self.text) + 2 + (0 if self.context is None else len(self.context) + 1)


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """Ids of the special tokens, and how many subwords of text and of context are read at most."""

    cls: int
    sep: int
    pad: int
    max_text: int
    max_context: int


class TweetTokenizer:
    """Splits, encodes, keeps offsets. Words beyond `max_text` subwords are not read and so never labelled."""

    def __init__(self, tokenizer: Tokenizer, config: TokenizerConfig) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.config = config

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a checkpoint folder: `tokenizer.json` and the part `tokenizer` of `config.json`."""
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), TokenizerConfig(**config["tokenizer"]))
        except OSError as error:
            raise UserError(f"no model checkpoint in {folder}: {error.strerror}: {error.filename}") from None
        except Exception as error:  # the tokenizers library raises bare Exception for a missing or broken file
            raise UserError(f"the checkpoint {folder} has a broken tokenizer: {error}") from None

    def encode(self, text: str, context: str | None) -> Encoded:
        """A raw tweet; spans are code points of `text`."""
        return self._encode(split_words(text), context)

    def encode_words(
        self, words: Sequence[str], context: str | None, image: NDArray[np.floating] | None = None
    ) -> Encoded:
        """A tweet that a corpus has already split; the span of word i is (i, i + 1)."""
        parts: list[Word] = []
        for index, word in enumerate(words):
            sigil = len(word) - len(word.lstrip(SIGILS))
            if 0 < sigil < len(word):
                parts.append(Word(word[:sigil], index, index + 1, labelled=False))
            rest = word[sigil:] if sigil < len(word) else word
            parts.append(Word(rest, index, index + 1))
        return replace(self._encode(parts, context), image=image)

    def _encode(self, words: Sequence[Word], context: str | None) -> Encoded:
        words = words[: self.config.max_text]  # nearly every word has a subword or more
        pieces = self.tokenizer.encode(
            [_read(word.text) for word in words], is_pretokenized=True, add_special_tokens=False
        )
        ids = tuple(pieces.ids[: self.config.max_text])
        owners = [index for index in pieces.word_ids[: len(ids)] if index is not None]
        shapes = [shape(word.text) for word in words]
        first = {index: position for position, index in reversed(list(enumerate(owners)))}
        labelled = [(first[index], word) for index, word in enumerate(words) if word.labelled and index in first]
        return Encoded(
            text=ids,
            shapes=tuple(shapes[index] for index in owners),
            context=self._encode_context(context),
            heads=tuple(position for position, _ in labelled),
            spans=tuple((word.start, word.end) for _, word in labelled),
        )

    def _encode_context(self, context: str | None) -> tuple[int, ...] | None:
        if context is None or not context.strip():
            return None
        clean = context.encode("utf-8", "replace").decode("utf-8")
        ids = self.tokenizer.encode(clean, add_special_tokens=False).ids[: self.config.max_context]
        return tuple(ids) or None


def _read(word: str) -> str:
    """What the encoder reads for a word: an address says only that it is one."""
    return "http" if URL.match(word) else word


def shape(word: str) -> int:
    """Index into `SHAPES`."""
    if word.isdigit():
        return SHAPES.index("digit")
    if word.islower():
        return SHAPES.index("lower")
    if word.istitle() and len(word) > 1:
        return SHAPES.index("title")
    if word.isupper():
        return SHAPES.index("upper" if len(word) > 1 else "title")
    return SHAPES.index("mixed" if any(map(str.isalpha, word)) else "other")
