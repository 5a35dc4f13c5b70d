"""The network, top to bottom: an encoder, views of the tweet, evidence per view, one fused belief, a chain over labels.

Shapes: B tweets, S positions of a view's sequence, W words, H hidden size, L labels, V views.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig

from model import adapters
from model.batch import Batch, Sequences
from model.crf import CRF
from model.density import DensityModel
from model.design import CONTEXT, IMAGE, LABELS, Design
from model.evidence import NIG
from model.tokens import SHAPES

ATTENTION_HEADS = 8


class Seen(NamedTuple):
    """`beliefs`: one NIG (B, W, L) per view of the design; rows where a view is absent hold its head's prior, to be
    left out by `fuse`. `inner`: what the encoder makes of the text's words (B, W, H) inside, see `encode`;
    None where only the text with its context is read. `own`: of the tweets with a context (B'), the log-odds that it is
    their own; None where the design has no discount."""

    beliefs: list[NIG]
    inner: Tensor | None
    own: Tensor | None


class Tagger(nn.Module):
    """Encoder, casing embedding, a head per view, a chain. `forward` gives the beliefs, which `fuse` joins by their
    `shares`; `emissions` makes scores for the chain of one."""

    def __init__(self, encoder: PretrainedConfig, design: Design, dropout: float = 0.1) -> None:
        super().__init__()
        self.config, self.design = encoder, design
        self.encoder: nn.Module = AutoModel.from_config(encoder)  # type: ignore[no-untyped-call]
        embedding: nn.Embedding = self.encoder.get_input_embeddings()
        self.casing = nn.Embedding(len(SHAPES), embedding.embedding_dim)
        nn.init.zeros_(self.casing.weight)
        self.casing.requires_grad_(design.casing)
        self.dropout = nn.Dropout(dropout)
        if IMAGE in design.views:
            self.look = Look(encoder.hidden_size, design.image_width, dropout)
        self.heads = nn.ModuleDict({_key(view): _head(encoder.hidden_size) for view in design.views})
        if design.discount:
            self.belonging = Belonging()
        self.chain = CRF(len(LABELS))
        self.chain.requires_grad_(design.chain)
        self.density: DensityModel | None = None
        self.reads_segments = getattr(encoder, "type_vocab_size", 0) > 1

    def adapt(self) -> None:
        """Freezes the encoder, or gives it adapters, as the design says. Once, on the pretrained weights."""
        if self.design.adapt == "lora":
            adapters.add(self.encoder, self.design.rank)
        elif self.design.adapt == "frozen":
            self.encoder.requires_grad_(False)

    def forward(self, batch: Batch) -> Seen:
        text = self._words(batch.text, batch) if set(self.design.views) - {CONTEXT} else None
        beliefs, own = [], None
        for view in self.design.views:
            if view == CONTEXT:
                states, _, whole = self._words(batch.context, batch)
            else:
                assert text is not None
                states = self.look(text[0], batch) if view == IMAGE else text[0]
            scores = self.heads[_key(view)](self.dropout(states))
            beliefs.append(self._belief(scores.view(*batch.words.shape, len(LABELS), 4)))
            if view == CONTEXT and self.design.discount:
                own = self.belonging(whole, batch.context)
        return Seen(beliefs, text and text[1], own)

    def shares(self, batch: Batch, own: Tensor | None) -> Tensor:
        """(V, B) how much of the evidence of each view counts: 0 where it is absent; of a context that has other views
        beside it, the probability that it is the tweet's own, where the log-odds of that are known; else 1."""
        shares = batch.present.to(torch.float32)
        if own is not None:
            place, rows = self.design.views.index(CONTEXT), batch.context.rows
            likely = torch.sigmoid(own.detach().float())
            beside = batch.present.sum(0)[rows] > 1
            shares[place, rows] = torch.where(beside, likely, 1.0)
        return shares

    def emissions(self, belief: NIG) -> Tensor:
        """(..., L) log-scores of the labels, up to a constant a word."""
        return belief.log_odds() if self.design.evidence and self.design.emission == "student" else belief.gamma

    def _belief(self, scores: Tensor) -> NIG:
        """Without evidence, every view weighs the same, and the location is all there is."""
        belief = NIG.from_scores(scores)
        if self.design.evidence:
            return belief
        same = torch.ones_like(belief.gamma)
        return NIG(belief.gamma, same, 2 * same, same)

    def _words(self, view: Sequences, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(B, W, H) the encoder's last and inner state at each word's first subword, zeros where the tweet has not
        this view; and (B', S, H) the last states of all positions."""
        tweets, width = batch.heads.shape
        hidden = self.casing.weight.new_zeros(tweets, width, self.config.hidden_size)
        if not len(view.rows):
            return hidden, hidden, hidden[:0]
        heads = batch.heads[view.rows].unsqueeze(-1).expand(-1, -1, hidden.shape[-1])

        def at_words(states: Tensor) -> Tensor:
            return hidden.to(states.dtype).index_copy(0, view.rows, states.gather(1, heads))

        last, inner = self.encode(view)
        return at_words(last), at_words(inner), last

    def encode(self, view: Sequences) -> tuple[Tensor, Tensor]:
        """(B', S, H) the last layer's states, and the sum of those a third and half way up, which tell best what the
        encoder was trained on (docs/model.md)."""
        embedding: nn.Module = self.encoder.get_input_embeddings()  # type: ignore[operator]
        embedded = embedding(view.ids) + self.casing(view.shapes)
        segments = {"token_type_ids": view.segments} if self.reads_segments else {}
        output = self.encoder(inputs_embeds=embedded, attention_mask=view.mask, output_hidden_states=True, **segments)
        layers: Sequence[Tensor] = output.hidden_states  # the embeddings first
        third, half = layers[len(layers) // 3].detach(), layers[len(layers) // 2].detach()
        return output.last_hidden_state, third + half


class Belonging(nn.Module):
    """The log-odds that a context is the tweet's own, from the cosine of the mean states of both. It begins with what
    the encoder of a sentence similarity model has of itself; any other learns it."""

    STEEP = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.0))
        self.middle = nn.Parameter(torch.tensor(0.6))

    def forward(self, states: Tensor, view: Sequences) -> Tensor:
        """`states` (B', S, H) of text and context; (B')."""
        parts = (view.mask * (view.segments == place) for place in (0, 1))
        text, context = ((states.float() * part.unsqueeze(-1)).sum(1) for part in parts)
        alike = nn.functional.cosine_similarity(text, context, dim=-1)
        return self.STEEP * (self.slope * alike - self.middle)


class Look(nn.Module):
    """The words attend to the image's features: one layer of cross-attention behind a residual connection."""

    def __init__(self, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            hidden, ATTENTION_HEADS, dropout, kdim=width, vdim=width, batch_first=True
        )
        self.norm = nn.LayerNorm(hidden)

    def forward(self, text: Tensor, batch: Batch) -> Tensor:
        """`text` (B, W, H); zeros where a tweet has no image."""
        images = batch.images
        if not len(images.rows):
            return torch.zeros_like(text)
        words = text[images.rows]
        seen, _ = self.attention(
            words, images.features.to(words.dtype), images.features.to(words.dtype), key_padding_mask=images.mask
        )
        return torch.zeros_like(text).index_copy(0, images.rows, self.norm(words + seen).to(text.dtype))


def _key(view: str) -> str:
    """Of a view in a `ModuleDict`."""
    return view.replace("+", "_")


def _head(hidden: int) -> nn.Linear:
    """H to (L x 4) scores. Starting with little noise (beta near 0.1) steepens the log-odds in gamma, which trains
    faster than the near-flat ones of beta near 0.7."""
    head = nn.Linear(hidden, len(LABELS) * 4)
    with torch.no_grad():
        head.bias.view(len(LABELS), 4)[:, 3] = -2.0
    return head
