"""Quantises the layers of a trained encoder to int8, statically.

Ranges come from training posts. Before quantising, each input of a linear layer is divided by a factor and its weights
are multiplied by it, so that hardly any input has a far wider range than the others (SmoothQuant: Xiao et al., ICML
2023).

Only the scales are stored. `model.int8_scales` makes the layers from them and from the weights.

Shapes: I inputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from model.batch import Sequences, collate
from model.design import CONTEXT
from model.int8 import groups
from model.int8_scales import Modules, Scale, dump, modules
from model.tagger import Tagger
from model.tokens import Encoded, TweetTokenizer
from model.training.corpus import Example

POSTS = 256
"""Number of training posts that the ranges come from."""
ALPHA = 0.7
"""Exponent of the inputs' ranges in the smoothing factors; that of the weights' ranges is 1 - ALPHA."""
TINY = 1e-5
COMPARED = 64
"""Number of posts that are compared alone and in a batch."""


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


def quantise(
    network: Tagger,
    tokenizer: TweetTokenizer,
    training: Sequence[Example],
    done: Callable[[], object] = lambda: None,
) -> bytes:
    """Returns the content of the scales' file. `done` is called after each post of `POSTS` or fewer.

    The ranges come from posts at equal distances in `training`, each read with its caption if it has one. Raises
    `UserError` when the encoder cannot be quantised.
    """
    layers = modules(network)
    sample = training[:: max(1, -(-len(training) // POSTS))]
    with _observed(layers) as ranges, torch.inference_mode():
        for example in sample:
            network(collate([tokenizer.encode_words(example.words, example.caption)], tokenizer.config, network.design))
            done()
    steps = [step for layer in layers for step in layer.steps()]
    return dump(layers, [_scale(parts, own) for parts, own in zip(steps, ranges, strict=True)])


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
    """Yields the ranges of what the linear steps of all layers read, in the order of `Modules.steps`."""
    watched = [parts[0] for layer in layers for parts in layer.steps()]
    ranges = [Range() for _ in watched]

    def hook(own: Range) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: own.add(inputs[0].detach())

    hooks = [part.register_forward_pre_hook(hook(own)) for part, own in zip(watched, ranges, strict=True)]
    try:
        yield ranges
    finally:
        for each in hooks:
            each.remove()


def _scale(parts: Sequence[nn.Linear], inputs: Range) -> Scale:
    """Returns the scale for linear layers that read the same inputs."""
    assert inputs.low is not None
    assert inputs.high is not None
    largest = torch.stack([part.weight.detach().float().abs().amax(0) for part in parts]).amax(0)  # (I)
    widest = torch.maximum(-inputs.low, inputs.high).clamp(min=TINY)
    factors = widest**ALPHA / largest.clamp(min=TINY) ** (1 - ALPHA)  # (I)
    low = min(0.0, float((inputs.low / factors).min()))
    high = max(0.0, float((inputs.high / factors).max()))
    scale = np.float32(max(high - low, TINY) / 255)
    return Scale(factors.numpy(), scale, round(-low / float(scale)))
