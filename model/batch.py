"""Tweets as padded tensors, a sequence for each view that reads text.

Shapes: B tweets, B' those that have a view, T subwords of text, S positions of a view's sequence, W words, V views,
P positions of an image's features, D their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.design import CONTEXT, IMAGE, Design
from model.tokens import Encoded, TokenizerConfig


@dataclass(frozen=True)
class Sequences:
    """What the encoder reads for one view. `rows` (B'): which tweets of the batch have it."""

    ids: Tensor  # (B', S)
    shapes: Tensor  # (B', S)
    segments: Tensor  # (B', S)
    mask: Tensor  # (B', S)
    rows: Tensor  # (B')

    def to(self, device: str) -> Sequences:
        return Sequences(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Images:
    """Dense features of the tweets' images. `rows` (B'): which tweets have one; `mask` (B', P): True in the padding."""

    features: Tensor  # (B', P, D)
    mask: Tensor  # (B', P)
    rows: Tensor  # (B')

    def to(self, device: str) -> Images:
        return Images(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Batch:
    """B tweets as tensors; `words` marks the real words of the padded (B, W). `present` in the order of the views."""

    text: Sequences
    context: Sequences
    images: Images
    heads: Tensor  # (B, W) position of each word's first subword in any view's sequence
    words: Tensor  # (B, W) bool
    present: Tensor  # (V, B) bool

    def to(self, device: str) -> Batch:
        return Batch(
            self.text.to(device),
            self.context.to(device),
            self.images.to(device),
            self.heads.to(device),
            self.words.to(device),
            self.present.to(device),
        )


def collate(batch: Sequence[Encoded], config: TokenizerConfig, design: Design) -> Batch:
    """Pads a batch. A view holds only the tweets that have it; where the design has not the view, none."""
    everyone = list(range(len(batch)))
    context = [row for row in everyone if CONTEXT in design.views and batch[row].context is not None]
    images = [row for row in everyone if IMAGE in design.views and batch[row].image is not None]
    there = {CONTEXT: set(context), IMAGE: set(images)}
    return Batch(
        text=_sequences(batch, everyone, False, config),
        context=_sequences(batch, context, True, config),
        images=_images(batch, images, design.image_width),
        heads=_pad([[1 + head for head in encoded.heads] for encoded in batch], 0),
        words=_pad([[1] * len(encoded.heads) for encoded in batch], 0).bool(),
        present=torch.tensor([[row in there.get(view, everyone) for row in everyone] for view in design.views]),
    )


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
    given = [np.asarray(batch[row].image, dtype=np.float32) for row in rows]
    if any(one.shape[1:] != (width,) for one in given):
        raise ValueError(f"image features: wanted {width} wide, got {sorted({one.shape[1:] for one in given})}")
    longest = max(map(len, given), default=1)
    features = torch.zeros(len(rows), longest, max(1, width))
    mask = torch.ones(len(rows), longest, dtype=torch.bool)
    for place, one in enumerate(given):
        features[place, : len(one)] = torch.from_numpy(one)
        mask[place, : len(one)] = False
    return Images(features, mask, torch.tensor(rows, dtype=torch.long))


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """(B, longest), at least one column."""
    padded = torch.full((len(rows), max(1, *map(len, rows), 1)), value, dtype=torch.long)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = torch.tensor(values, dtype=torch.long)
    return padded
