"""Posts as padded tensors. Each view that reads text has a sequence for each window of a post's text.

Shapes: B posts, B' posts that have a view, N sequences of a view, S positions of a sequence, W words, V views,
P positions of an image's features, D the width of those features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from model.design import CONTEXT, IMAGE, TEXT, Design
from model.tokens import Encoded, TokenizerConfig
from model.windows import deepest


class _Tensors:
    """A dataclass of tensors, or of such dataclasses."""

    def to(self, device: str) -> Self:
        return type(self)(**{name: part.to(device) for name, part in vars(self).items()})


@dataclass(frozen=True)
class Sequences(_Tensors):
    """The encoder's input for one view, for the posts that have it."""

    ids: Tensor  # (N, S)
    shapes: Tensor  # (N, S) casing, see `model.tokens.SHAPES`
    segments: Tensor  # (N, S) 0: text, 1: context
    mask: Tensor  # (N, S) 0: padding
    posts: Tensor  # (N) index of the sequence's post among the B'
    heads: Tensor  # (B', W) place of each word's first subword among all N * S positions
    rows: Tensor  # (B') the posts' rows in the batch


@dataclass(frozen=True)
class Images(_Tensors):
    """Dense image features of the posts that have any."""

    features: Tensor  # (B', P, D)
    mask: Tensor  # (B', P) bool, true in the padding
    rows: Tensor  # (B') the posts' rows in the batch


@dataclass(frozen=True)
class Batch(_Tensors):
    """B posts as tensors."""

    text: Sequences
    context: Sequences
    images: Images
    words: Tensor  # (B, W) bool, true for real words
    opens_line: Tensor  # (B, W) bool, true where a line ends between the word and the one before
    in_account: Tensor  # (B, W) bool, true where the word is in no mention
    present: Tensor  # (V, B) bool: whether the post has this view of the design


def batches(costs: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yields the indices of `costs` in groups of similar cost.

    The highest cost of a group times its length is at most `most`, or the group holds a single index.
    """
    group: list[int] = []
    for index in sorted(range(len(costs)), key=costs.__getitem__):
        if group and costs[index] * (len(group) + 1) > most:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def collate(batch: Sequence[Encoded], config: TokenizerConfig, design: Design) -> Batch:
    """Pads a batch. `text` holds every post; `context` and `images` hold none if the design does not read them.

    Raises `ValueError` when image features are not as wide as the design says.
    """
    has = {
        TEXT: [True for _ in batch],
        CONTEXT: [CONTEXT in design.views and post.context is not None for post in batch],
        IMAGE: [IMAGE in design.views and post.image is not None for post in batch],
    }
    rows = {view: [row for row, present in enumerate(flags) if present] for view, flags in has.items()}
    return Batch(
        text=_sequences(batch, rows[TEXT], False, config),
        context=_sequences(batch, rows[CONTEXT], True, config),
        images=_images(batch, rows[IMAGE], design.image_width),
        words=_pad([[1] * len(encoded.heads) for encoded in batch], 0).bool(),
        opens_line=_flags(batch, [encoded.opens_line for encoded in batch]),
        in_account=_flags(batch, [encoded.in_account for encoded in batch]),
        present=torch.tensor([has[view] for view in design.views]),
    )


def _longest(batch: Sequence[Encoded]) -> int:
    """Returns W: the words of the longest post, at least 1."""
    return max([1, *(len(encoded.heads) for encoded in batch)])


def _flags(batch: Sequence[Encoded], flags: Sequence[Sequence[bool]]) -> Tensor:
    """Returns (B, W) bool. A post without flags has none that is true."""
    width = _longest(batch)
    return _pad([[*each, *[False] * (width - len(each))] for each in flags], 0).bool()


def _sequences(batch: Sequence[Encoded], rows: Sequence[int], with_context: bool, config: TokenizerConfig) -> Sequences:
    """[CLS] text [SEP], or [CLS] text [SEP] context [SEP] with the context as segment 1. A window has its own."""
    ids: list[tuple[int, ...]] = []
    shapes, segments, posts = [], [], []
    places: list[list[tuple[int, int]]] = []  # per post and word: sequence, and position in it
    for post, row in enumerate(rows):
        encoded = batch[row]
        second = (*(encoded.context or ()), config.sep) if with_context else ()
        places.append([(len(ids) + part, position) for part, position in _heads(encoded)])
        for start, end in encoded.parts:
            ids.append((config.cls, *encoded.text[start:end], config.sep, *second))
            shapes.append((0, *encoded.shapes[start:end], 0, *[0] * len(second)))
            segments.append([0] * (end - start + 2) + [1] * len(second))
            posts.append(post)
    width, words = max([1, *map(len, ids)]), _longest(batch)
    heads = [[sequence * width + position for sequence, position in of_post] for of_post in places]
    return Sequences(
        ids=_pad(ids, config.pad),
        shapes=_pad(shapes, 0),
        segments=_pad(segments, 0),
        mask=_pad([[1] * len(row) for row in ids], 0),
        posts=torch.tensor(posts, dtype=torch.long),
        heads=_pad([[*of_post, *[0] * (words - len(of_post))] for of_post in heads], 0),
        rows=torch.tensor(rows, dtype=torch.long),
    )


def _heads(encoded: Encoded) -> list[tuple[int, int]]:
    """Returns each word's window, and the position of its first subword in that window's sequence."""
    parts = encoded.parts
    if len(parts) == 1:
        return [(0, 1 + head) for head in encoded.heads]
    within = deepest(parts, encoded.heads)
    return [(part, 1 + head - parts[part][0]) for part, head in zip(within, encoded.heads, strict=True)]


def _images(batch: Sequence[Encoded], rows: Sequence[int], width: int) -> Images:
    images = [np.asarray(batch[row].image, dtype=np.float32) for row in rows]
    if any(image.shape[1:] != (width,) for image in images):
        widths = sorted({image.shape[1:] for image in images})
        raise ValueError(f"image features of widths {widths}: the design reads {width}")
    features = torch.zeros(len(rows), max(map(len, images), default=1), max(1, width))
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    for row, image in enumerate(images):
        features[row, : len(image)] = torch.from_numpy(image)
        mask[row, : len(image)] = False
    return Images(features, mask, torch.tensor(rows, dtype=torch.long))


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Returns (B, longest), with at least one column."""
    padded = torch.full((len(rows), max([1, *map(len, rows)])), value, dtype=torch.long)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = torch.tensor(values, dtype=torch.long)
    return padded
