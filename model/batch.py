"""Posts as padded tensors, with one sequence for each view that reads text.

Shapes: B posts, B' posts that have a view, T subwords of text, S positions of a view's sequence, W words, V views,
P positions of an image's features, D the width of those features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from model.design import CONTEXT, IMAGE, TEXT, Design
from model.tokens import Encoded, TokenizerConfig


class _Tensors:
    """A dataclass of tensors, or of such dataclasses."""

    def to(self, device: str) -> Self:
        return type(self)(**{name: part.to(device) for name, part in vars(self).items()})


@dataclass(frozen=True)
class Sequences(_Tensors):
    """The encoder's input for one view, for the posts that have it."""

    ids: Tensor  # (B', S)
    shapes: Tensor  # (B', S) casing, see `model.tokens.SHAPES`
    segments: Tensor  # (B', S) 0: text, 1: context
    mask: Tensor  # (B', S) 0: padding
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
    heads: Tensor  # (B, W) position of each word's first subword, the same in every view's sequence
    words: Tensor  # (B, W) bool, true for real words
    opens_line: Tensor  # (B, W) bool, true where a line ends between the word and the one before
    present: Tensor  # (V, B) bool: whether the post has this view of the design


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
        heads=_pad([[1 + head for head in encoded.heads] for encoded in batch], 0),
        words=_pad([[1] * len(encoded.heads) for encoded in batch], 0).bool(),
        opens_line=_opens_line(batch),
        present=torch.tensor([has[view] for view in design.views]),
    )


def _opens_line(batch: Sequence[Encoded]) -> Tensor:
    width = max([1, *(len(encoded.heads) for encoded in batch)])
    return _pad([[*encoded.opens_line, *[False] * (width - len(encoded.opens_line))] for encoded in batch], 0).bool()


def _sequences(batch: Sequence[Encoded], rows: Sequence[int], with_context: bool, config: TokenizerConfig) -> Sequences:
    """[CLS] text [SEP], or [CLS] text [SEP] context [SEP] with the context as segment 1."""
    ids, shapes, segments = [], [], []
    for row in rows:
        text, context = batch[row].text, batch[row].context if with_context else None
        second = () if context is None else (*context, config.sep)
        ids.append((config.cls, *text, config.sep, *second))
        shapes.append((0, *batch[row].shapes, 0, *[0] * len(second)))
        segments.append([0] * (len(text) + 2) + [1] * len(second))
    return Sequences(
        ids=_pad(ids, config.pad),
        shapes=_pad(shapes, 0),
        segments=_pad(segments, 0),
        mask=_pad([[1] * len(row) for row in ids], 0),
        rows=torch.tensor(rows, dtype=torch.long),
    )


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
