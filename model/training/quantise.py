"""Quantises the layers of a trained encoder to int8, statically.

Ranges come from training posts. Before quantising, each input of a linear layer is divided by a factor and its weights
are multiplied by it, so that hardly any input has a far wider range than the others (SmoothQuant: Xiao et al., ICML
2023).

Weights have seven bits. Then no CPU saturates in 16 bits, and the integer products are the same with and without VNNI.

Shapes: T tokens, I inputs and O outputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from model.batch import Sequences, collate
from model.design import CONTEXT
from model.int8 import MULTIPLE, groups
from model.tagger import Tagger
from model.tokens import Encoded, TweetTokenizer
from model.training.corpus import Example
from model.training.int8_graph import Layer, Linear, Norm, write

POSTS = 256
"""Number of training posts that the ranges come from."""
ALPHA = 0.7
"""Exponent of the inputs' ranges in the smoothing factors; that of the weights' ranges is 1 - ALPHA."""
LARGEST_WEIGHT = 63
"""Weights are from -63 to 63. Two products of a byte and such a weight fit into 16 bits."""
TINY = 1e-5
MPNET_OFFSET = 2
"""Position embeddings of MPNet that no token of a sequence has."""
COMPARED = 64
"""Number of posts that are compared alone and in a batch."""


@dataclass(frozen=True)
class Modules:
    """The parts of one layer of an encoder. `attention` holds queries, keys and values."""

    attention: tuple[nn.Linear, nn.Linear, nn.Linear]
    output: nn.Linear
    attention_norm: nn.LayerNorm
    up: nn.Linear
    down: nn.Linear
    norm: nn.LayerNorm


class Range:
    """The lowest and highest value of each input (I) of a linear layer."""

    def __init__(self) -> None:
        self.low: Tensor | None = None
        self.high: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """`values` (..., I)."""
        low, high = values.flatten(0, -2).aminmax(dim=0)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)


def modules(network: Tagger) -> list[Modules]:
    """Returns the layers of the encoder. Raises `UserError` for an encoder of another kind than BERT and MPNet."""
    kind = getattr(network.config, "model_type", "")
    activation = getattr(network.config, "hidden_act", "")
    if kind not in ("bert", "mpnet") or activation != "gelu":
        raise UserError(f"an encoder of the kind {kind} with {activation} cannot be quantised; only BERT and MPNet can")
    encoder: Any = network.encoder
    longest = network.config.max_position_embeddings - (MPNET_OFFSET if kind == "mpnet" else 0)
    if longest % MULTIPLE:  # else the padding of the longest sequence would have positions without embeddings
        raise UserError(
            f"the encoder cannot be quantised: its longest sequence has {longest} positions, which is no multiple of "
            f"{MULTIPLE}"
        )
    return [_bert(layer) if kind == "bert" else _mpnet(layer) for layer in encoder.encoder.layer]


def _bert(layer: Any) -> Modules:
    own, output = layer.attention.self, layer.attention.output
    parts = (own.query, own.key, own.value)
    return Modules(
        parts, output.dense, output.LayerNorm, layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm
    )


def _mpnet(layer: Any) -> Modules:
    own, norm = layer.attention.attn, layer.attention.LayerNorm
    parts = (own.q, own.k, own.v)
    return Modules(parts, own.o, norm, layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm)


def quantise(
    network: Tagger,
    tokenizer: TweetTokenizer,
    training: Sequence[Example],
    done: Callable[[], object] = lambda: None,
) -> bytes:
    """Returns the ONNX model of the quantised layers. `done` is called after each post of `POSTS` or fewer.

    The ranges come from posts at equal distances in `training`, each read with its caption if it has one. Raises
    `UserError` when the encoder cannot be quantised.
    """
    layers = modules(network)
    sample = training[:: max(1, -(-len(training) // POSTS))]
    with _observed(layers) as ranges, torch.inference_mode():
        for example in sample:
            network(collate([tokenizer.encode_words(example.words, example.caption)], tokenizer.config, network.design))
            done()
    quantised = [_layer(layer, *ranges[4 * place : 4 * place + 4]) for place, layer in enumerate(layers)]
    return write(quantised, network.config.num_attention_heads, network.config.layer_norm_eps)


def check_alone(network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example]) -> None:
    """Checks that posts have the same states alone and in a batch, which they do not with dynamic quantisation.

    Reads up to `COMPARED` of the examples, and as many with captions if the design reads captions. Raises `UserError`
    if a post has other states, or if no two posts were read together.
    """
    plain = [tokenizer.encode_words(each.words, None) for each in examples[:COMPARED]]
    captioned: list[Encoded] = []
    if CONTEXT in network.design.views:
        with_caption = [each for each in examples if each.caption is not None][:COMPARED]
        captioned = [tokenizer.encode_words(each.words, each.caption) for each in with_caption]

    def text(posts: Sequence[Encoded]) -> Sequences:
        return collate(posts, tokenizer.config, network.design).text

    def context(posts: Sequence[Encoded]) -> Sequences:
        return collate(posts, tokenizer.config, network.design).context

    with torch.inference_mode():
        shared = [_same_alone(network, view, posts) for view, posts in ((text, plain), (context, captioned)) if posts]
    if not any(shared):
        raise UserError("no two validation posts have about the same length, so nothing was compared; give more posts")


def _same_alone(network: Tagger, view: Callable[[Sequence[Encoded]], Sequences], posts: Sequence[Encoded]) -> bool:
    """Whether some of the posts are read together. Raises `UserError` if one has other states alone than in a batch.

    `view` gives the encoder's input for posts.
    """
    batch = view(posts)
    states, own = network.encode(batch)[0], iter(range(len(batch.ids)))
    for post in posts:
        alone = view([post])
        for row, mask in zip(network.encode(alone)[0], alone.mask.bool(), strict=True):
            if not torch.equal(row[mask], states[next(own)][: len(mask)][mask]):
                raise UserError(
                    "a post has other states alone than in a batch, so its mentions would depend on its batch; "
                    "quantise statically"
                )
    of_sequence = batch.posts.tolist()
    return any(len({of_sequence[row] for row in rows}) > 1 for rows in groups(batch.mask.sum(1).tolist()))


@contextmanager
def _observed(layers: Sequence[Modules]) -> Iterator[list[Range]]:
    """Yields the ranges of what each layer's four linear steps read, in the order of `Modules`."""
    watched = [part for each in layers for part in (each.attention[0], each.output, each.up, each.down)]
    ranges = [Range() for _ in watched]

    def hook(own: Range) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: own.add(inputs[0].detach())

    hooks = [part.register_forward_pre_hook(hook(own)) for part, own in zip(watched, ranges, strict=True)]
    try:
        yield ranges
    finally:
        for each in hooks:
            each.remove()


def _layer(layer: Modules, attention: Range, output: Range, up: Range, down: Range) -> Layer:
    return Layer(
        _linear(layer.attention, attention),
        _linear([layer.output], output),
        _norm(layer.attention_norm),
        _linear([layer.up], up),
        _linear([layer.down], down),
        _norm(layer.norm),
    )


def _linear(parts: Sequence[nn.Linear], inputs: Range) -> Linear:
    """Quantises linear layers that read the same inputs, as one."""
    assert inputs.low is not None
    assert inputs.high is not None
    weight = torch.cat([part.weight.detach() for part in parts]).float()  # (O, I)
    bias = torch.cat([part.bias.detach() for part in parts]).float()
    widest = torch.maximum(-inputs.low, inputs.high).clamp(min=TINY)
    factors = widest**ALPHA / weight.abs().amax(0).clamp(min=TINY) ** (1 - ALPHA)  # (I)
    low = min(0.0, float((inputs.low / factors).min()))
    high = max(0.0, float((inputs.high / factors).max()))
    scale = max(high - low, TINY) / 255
    smoothed = weight * factors
    weight_scale = (smoothed.abs().amax(1) / LARGEST_WEIGHT).clamp(min=1e-9)  # (O)
    as_bytes = (smoothed / weight_scale[:, None]).round().to(torch.int8).T
    return Linear(
        smoothing=(1 / factors).numpy(),
        scale=scale,
        zero=round(-low / scale),
        weight=np.ascontiguousarray(as_bytes.numpy()),
        weight_scale=weight_scale.numpy(),
        bias=bias.numpy(),
    )


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight.detach().float().numpy(), norm.bias.detach().float().numpy())
