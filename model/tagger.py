"""The network, top to bottom: one encoder, two views of the tweet, evidence per view, one fused belief.

Shapes: B tweets, T subwords of text, S positions of a view's sequence, W words, H hidden size, L labels, V views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig

from model.evidence import NIG, fuse
from model.tokens import SHAPES, Encoded, TokenizerConfig

VIEWS = ("text", "text+context")
"""What each view reads. The second is absent for a tweet without visual context."""

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")


@dataclass(frozen=True)
class Sequences:
    """One view's padded input. `rows` (B'): which tweets of the batch have this view."""

    ids: Tensor  # (B', S)
    shapes: Tensor  # (B', S)
    segments: Tensor  # (B', S)
    mask: Tensor  # (B', S)
    rows: Tensor  # (B')


@dataclass(frozen=True)
class Batch:
    """B tweets as tensors; `words` marks the real words of the padded (B, W)."""

    views: tuple[Sequences, ...]
    heads: Tensor  # (B, W) position of each word's first subword in any view's sequence
    words: Tensor  # (B, W) bool
    present: Tensor  # (V, B) bool

    def to(self, device: str) -> Batch:
        views = tuple(Sequences(**{k: v.to(device) for k, v in vars(view).items()}) for view in self.views)
        return Batch(views, self.heads.to(device), self.words.to(device), self.present.to(device))


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """(B, longest), at least one column."""
    padded = torch.full((len(rows), max(1, *map(len, rows), 1)), value, dtype=torch.long)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = torch.tensor(values, dtype=torch.long)
    return padded


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


def collate(batch: Sequence[Encoded], config: TokenizerConfig) -> Batch:
    """Pads a batch; the view with context holds only the tweets that have one."""
    everyone = list(range(len(batch)))
    with_context = [row for row in everyone if batch[row].context is not None]
    present = torch.ones(len(VIEWS), len(batch), dtype=torch.bool)
    present[1] = torch.tensor([encoded.context is not None for encoded in batch])
    return Batch(
        views=(_sequences(batch, everyone, False, config), _sequences(batch, with_context, True, config)),
        heads=_pad([[1 + head for head in encoded.heads] for encoded in batch], 0),
        words=_pad([[1] * len(encoded.heads) for encoded in batch], 0).bool(),
        present=present,
    )


class Tagger(nn.Module):
    """Encoder, casing embedding, one evidential head per view. `forward` gives the beliefs; `evidence.fuse` joins."""

    def __init__(self, encoder: PretrainedConfig, dropout: float = 0.1) -> None:
        super().__init__()
        self.config = encoder
        self.encoder: nn.Module = AutoModel.from_config(encoder)  # type: ignore[no-untyped-call]
        self.casing = nn.Embedding(len(SHAPES), encoder.hidden_size)
        nn.init.zeros_(self.casing.weight)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(_head(encoder.hidden_size) for _ in VIEWS)
        self.reads_segments = getattr(encoder, "type_vocab_size", 0) > 1

    def forward(self, batch: Batch) -> list[NIG]:
        """One NIG (B, W, L) per view. Rows where a view is absent hold that head's prior, to be left out by `fuse`."""
        beliefs = []
        for view, head in zip(batch.views, self.heads, strict=True):
            words, width = batch.heads.shape
            hidden = self.casing.weight.new_zeros(words, width, self.casing.embedding_dim)  # (B, W, H)
            if len(view.rows):
                states = self._encode(view)  # (B', S, H)
                heads = batch.heads[view.rows].unsqueeze(-1).expand(-1, -1, states.shape[-1])
                hidden = hidden.to(states.dtype).index_copy(0, view.rows, states.gather(1, heads))
            scores = head(self.dropout(hidden)).view(words, width, len(LABELS), 4)
            beliefs.append(NIG.from_scores(scores))
        return beliefs

    def _encode(self, view: Sequences) -> Tensor:
        embedding: nn.Module = self.encoder.get_input_embeddings()  # type: ignore[operator]
        embedded = embedding(view.ids) + self.casing(view.shapes)
        segments = {"token_type_ids": view.segments} if self.reads_segments else {}
        output = self.encoder(inputs_embeds=embedded, attention_mask=view.mask, **segments)
        states: Tensor = output.last_hidden_state
        return states


def _head(hidden: int) -> nn.Linear:
    """H to (L x 4) scores. Starting with little noise (beta near 0.1) steepens the log-odds in gamma, which trains
    faster than the near-flat ones of beta near 0.7."""
    head = nn.Linear(hidden, len(LABELS) * 4)
    with torch.no_grad():
        head.bias.view(len(LABELS), 4)[:, 3] = -2.0
    return head


def fused(beliefs: Sequence[NIG], batch: Batch) -> NIG:
    """The belief of all present views together, (B, W, L)."""
    return fuse(beliefs, batch.present)


@dataclass(frozen=True)
class LossWeights:
    """`density` weighs the NIG negative log-likelihood of the label indicators, `regulariser` the cost of evidence."""

    density: float = 0.03
    regulariser: float = 0.003


def loss(beliefs: Sequence[NIG], batch: Batch, labels: Tensor, weights: LossWeights) -> Tensor:
    """Mean over real words: cross-entropy, NIG likelihood and regulariser of every present view and of the fused one.

    `labels` (B, W), -100 where a word counts for nothing.
    """
    counted = batch.words & (labels >= 0)
    total = beliefs[0].gamma.new_zeros(())
    everything = torch.ones_like(batch.present[:1])
    for belief, present in zip((*beliefs, fused(beliefs, batch)), torch.cat([batch.present, everything]), strict=True):
        rows = counted & present.unsqueeze(-1)
        if rows.any():
            total = total + _view_loss(NIG(*(part[rows] for part in belief)), labels[rows], weights)
    return total


def _view_loss(belief: NIG, labels: Tensor, weights: LossWeights) -> Tensor:
    """`belief` (N, L), `labels` (N)."""
    indicators = nn.functional.one_hot(labels, len(LABELS)).to(belief.gamma.dtype)
    entropy = nn.functional.cross_entropy(belief.log_odds(), labels)
    density = -belief.log_density(indicators).mean()
    cost = belief.regulariser(indicators).mean()
    return entropy + weights.density * density + weights.regulariser * cost
