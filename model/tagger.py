"""The network, from input to output: an encoder, views of the post, evidence per view, a chain over the labels.

`model.evidence.fuse` fuses the views before the chain.

Shapes: B posts, B' posts that have a view, N sequences of a view (one for each window of a post's text), S positions
of a sequence, W words, H hidden size, L labels, V views, P positions of an image's features, D their width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig

from model import adapters, int8
from model.batch import Batch, Sequences, batches
from model.crf import CRF
from model.density import DensityModel
from model.design import CONTEXT, IMAGE, LABELS, Design
from model.evidence import NIG
from model.int8 import Int8Layers
from model.tokens import SHAPES

ATTENTION_HEADS = 8

READ_TOKENS = {"cpu": 1024, "cuda": 65_536}
"""Largest number of padded tokens that the encoder reads at once for a prediction, by the kind of device, unless one
sequence is longer. A reading that stays in the cache of a CPU is faster, and has less padding."""

FORMER_NAMES = {"chain.": "crf.", "look.": "image_attention.", "belonging.": "matching."}
"""Prefixes of weights in checkpoints that were written before version 0.2, and their names today."""

VIEW_WEIGHTS = ("heads.", "image_attention.", "matching.")
"""Prefixes of weights that belong to single views."""


class TaggerOutput(NamedTuple):
    #: One NIG (B, W, L) per view of the design. A post without the view has the head's bias there; `fuse` ignores it.
    beliefs: list[NIG]
    #: (B, W, H) inner states of the words of the text without context, see `Tagger.encode`. None if the design has only
    #: the view `text+context`.
    inner: Tensor | None
    #: (B') log-odds that a context belongs to its post, for posts with a context. None without `discount`.
    match_logit: Tensor | None


class Tagger(nn.Module):
    """Gives beliefs per view (`forward`), the weights to fuse them with (`shares`), and scores for the chain."""

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
            self.image_attention = ImageAttention(encoder.hidden_size, design.image_width, dropout)
        self.heads = nn.ModuleDict({_key(view): _head(encoder.hidden_size) for view in design.views})
        if design.discount:
            self.matching = ImageTextMatching()
        self.crf = CRF(len(LABELS))
        self.crf.requires_grad_(design.chain)
        self.density: DensityModel | None = None
        self.int8_layers: Int8Layers | None = None  # read in place of the encoder's layers, except in training
        self.reads_segments = getattr(encoder, "type_vocab_size", 0) > 1

    def forward(self, batch: Batch) -> TaggerOutput:
        reads_text = bool(set(self.design.views) - {CONTEXT})
        text, inner, _ = self._word_states(batch.text, batch) if reads_text else (None, None, None)
        beliefs, match_logit = [], None
        for view in self.design.views:
            if view == CONTEXT:
                states, _, positions = self._word_states(batch.context, batch)  # (B, W, H), (N, S, H)
                if self.design.discount:
                    match_logit = self.matching(positions, batch.context)  # (B')
            else:
                assert text is not None
                states = self.image_attention(text, batch) if view == IMAGE else text  # (B, W, H)
            scores = self.heads[_key(view)](self.dropout(states))  # (B, W, L * 4)
            beliefs.append(self._belief(scores.view(*batch.words.shape, len(LABELS), 4)))
        return TaggerOutput(beliefs, inner, match_logit)

    def _word_states(self, view: Sequences, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the last and the inner states (B, W, H) at each word's first subword, and all last states (N, S, H).

        Posts without the view have zeros.
        """
        hidden = self.casing.weight.new_zeros(*batch.words.shape, self.config.hidden_size)
        if not len(view.rows):
            return hidden, hidden, hidden[:0]

        def at_words(states: Tensor) -> Tensor:
            return hidden.to(states.dtype).index_copy(0, view.rows, states.flatten(0, 1)[view.heads])

        last, inner = self.encode(view)
        return at_words(last), at_words(inner), last

    def encode(self, view: Sequences) -> tuple[Tensor, Tensor]:
        """Returns the last layer's states (N, S, H) and the inner states (N, S, H).

        The inner states are the sum of two layers, a third and half of the way up. They best distinguish training posts
        from others.

        Without gradients, the encoder reads sequences of similar length together, `READ_TOKENS` padded tokens at once.
        So a long post needs little more memory than its states. The states of the padding are zeros then. With
        `int8_layers`, sequences are read with others of the same `int8.padded` length only.
        """
        if torch.is_grad_enabled():
            return self._read(view.ids, view.shapes, view.segments, view.mask)
        lengths = view.mask.sum(1).tolist()
        shape = (*view.ids.shape, self.config.hidden_size)
        whole: tuple[Tensor, ...] = ()
        layers = self.int8_layers
        reads = batches(lengths, READ_TOKENS[view.ids.device.type]) if layers is None else int8.groups(lengths)
        for rows in reads:
            longest = max(lengths[row] for row in rows)
            parts = [part[rows, :longest] for part in (view.ids, view.shapes, view.segments, view.mask)]
            read = self._read(*parts) if layers is None else self._read_int8(layers, *parts)
            whole = whole or tuple(states.new_zeros(shape) for states in read)
            for states, of_rows in zip(whole, read, strict=True):
                states[rows, :longest] = of_rows[:, :longest]
        last, inner = whole
        return last, inner

    def _read(self, ids: Tensor, shapes: Tensor, segments: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Does what `encode` does, in one reading."""
        output = self.encoder(attention_mask=mask, output_hidden_states=True, **self._embedded(ids, shapes, segments))
        layers: Sequence[Tensor] = output.hidden_states  # the embeddings come first
        third, half = layers[len(layers) // 3].detach(), layers[len(layers) // 2].detach()
        return output.last_hidden_state, third + half

    def _read_int8(self, layers: Int8Layers, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Does what `_read` does, in int8. The states are longer: they are padded to `int8.padded`."""
        missing = int8.padded(parts[0].shape[1]) - parts[0].shape[1]
        ids, shapes, segments, mask = (nn.functional.pad(part, (0, missing)) for part in parts)
        encoder: Any = self.encoder
        hidden = encoder.embeddings(**self._embedded(ids, shapes, segments))
        has_bias = hasattr(encoder.encoder, "compute_position_bias")  # MPNet
        return layers(hidden, mask, encoder.encoder.compute_position_bias(hidden[:1]) if has_bias else None)

    def _embedded(self, ids: Tensor, shapes: Tensor, segments: Tensor) -> dict[str, Tensor]:
        """Returns what the encoder reads: embeddings of subwords (N, S, H) and, if it reads them, the segments."""
        embedding: nn.Module = self.encoder.get_input_embeddings()  # type: ignore[operator]
        kinds = {"token_type_ids": segments} if self.reads_segments else {}
        return {"inputs_embeds": embedding(ids) + self.casing(shapes), **kinds}

    def _belief(self, scores: Tensor) -> NIG:
        """(B, W, L, 4) to (B, W, L). Without evidence only the location counts, and every view weighs the same."""
        belief = NIG.from_scores(scores)
        if self.design.evidence:
            return belief
        same = torch.ones_like(belief.gamma)
        return NIG(belief.gamma, same, 2 * same, same)

    def shares(self, batch: Batch, match_logit: Tensor | None) -> Tensor:
        """Returns (V, B), how much of each view's evidence counts: 0 where the view is absent, else 1.

        With `match_logit`, a context counts by the probability that it belongs to its post. It counts in full where it
        is the post's only view.
        """
        shares = batch.present.to(torch.float32)
        if match_logit is not None:
            view, rows = self.design.views.index(CONTEXT), batch.context.rows
            several = batch.present.sum(0)[rows] > 1  # (B')
            shares[view, rows] = torch.where(several, torch.sigmoid(match_logit.detach().float()), 1.0)
        return shares

    def emissions(self, belief: NIG) -> Tensor:
        """Returns (..., L) log-scores of the labels, up to a constant per word."""
        return belief.log_odds() if self.design.evidence and self.design.emission == "student" else belief.gamma

    def adapt(self) -> None:
        """Freezes the encoder or adds adapters, as the design says. Call it once, on the pretrained weights."""
        if self.design.adapt == "lora":
            adapters.add(self.encoder, self.design.rank)
        elif self.design.adapt == "frozen":
            self.encoder.requires_grad_(False)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads weights under their present or former names."""
        return super().load_state_dict(current_names(state_dict), strict, assign)


class ImageAttention(nn.Module):
    """One layer of cross-attention from the words to the image's features, with a residual connection."""

    def __init__(self, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            hidden, ATTENTION_HEADS, dropout, kdim=width, vdim=width, batch_first=True
        )
        self.norm = nn.LayerNorm(hidden)

    def forward(self, text: Tensor, batch: Batch) -> Tensor:
        """(B, W, H) to (B, W, H); zeros where a post has no image."""
        images = batch.images
        if not len(images.rows):
            return torch.zeros_like(text)
        words = text[images.rows]  # (B', W, H)
        features = images.features.to(words.dtype)  # (B', P, D)
        attended, _ = self.attention(words, features, features, key_padding_mask=images.mask)
        return torch.zeros_like(text).index_copy(0, images.rows, self.norm(words + attended).to(text.dtype))


class ImageTextMatching(nn.Module):
    """Log-odds that a context belongs to its post, from the cosine of the mean states of both.

    The initial values suit the encoder of a sentence similarity model. Other encoders have to learn them.
    """

    STEEPNESS = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.0))
        self.middle = nn.Parameter(torch.tensor(0.6))

    def forward(self, states: Tensor, view: Sequences) -> Tensor:
        """(N, S, H) states of text and context, to (B')."""
        masks = (view.mask * (view.segments == segment) for segment in (0, 1))
        sums = ((states.float() * mask.unsqueeze(-1)).sum(1) for mask in masks)  # (N, H)
        posts = states.new_zeros(len(view.rows), states.shape[-1], dtype=torch.float32)
        text, context = (posts.index_add(0, view.posts, of_window) for of_window in sums)  # (B', H)
        similarity = nn.functional.cosine_similarity(text, context, dim=-1)
        return self.STEEPNESS * (self.slope * similarity - self.middle)


def current_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the weights with today's module names instead of `FORMER_NAMES`."""
    return {_current_name(name): value for name, value in weights.items()}


def _current_name(name: str) -> str:
    former = next((prefix for prefix in FORMER_NAMES if name.startswith(prefix)), "")
    return FORMER_NAMES.get(former, "") + name.removeprefix(former)


def _key(view: str) -> str:
    """Returns the view's name in the names of weights, without the plus sign."""
    return view.replace("+", "_")


def _head(hidden: int) -> nn.Linear:
    """H to L * 4 scores.

    A low initial noise (beta near 0.1, not the 0.7 of a zero bias) makes the log-odds steeper in gamma, so training
    is faster.
    """
    head = nn.Linear(hidden, len(LABELS) * 4)
    with torch.no_grad():
        head.bias.view(len(LABELS), 4)[:, 3] = -2.0
    return head
