"""Makes the int8 layers of an encoder from its weights and from the scales that a checkpoint stores.

The weights are quantised anew at each load. Only elementwise IEEE arithmetic is used, so every machine makes the same
layers. The file of the scales holds their digest.

Shapes: I inputs and O outputs of a linear layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save
from torch import Tensor, nn

from core.errors import UserError, first_line
from model.checkpoint import INT8_SCALES
from model.int8 import MULTIPLE, Int8Layers
from model.int8_graph import Floats, Layer, Linear, Norm, write
from model.tagger import Tagger

LARGEST_WEIGHT = 63
"""Weights are from -63 to 63, which is seven bits. Two products of a byte and such a weight fit into 16 bits. So no CPU
saturates, and the integer products are the same with and without VNNI."""
LEAST_WEIGHT_SCALE = np.float32(1e-9)
MPNET_OFFSET = 2
"""Position embeddings of MPNet that no token of a sequence has."""
STEPS = 4
"""Number of linear steps of a layer."""
FACTORS, SCALE, ZERO, DIGEST = "factors", "scale", "zero", "layers_sha256"
"""Tensors of the file. There is one `FACTORS` for each step, with its number behind it."""


@dataclass(frozen=True)
class Modules:
    """The parts of one layer of an encoder. `attention` holds queries, keys and values."""

    attention: tuple[nn.Linear, nn.Linear, nn.Linear]
    output: nn.Linear
    attention_norm: nn.LayerNorm
    up: nn.Linear
    down: nn.Linear
    norm: nn.LayerNorm

    def steps(self) -> Iterator[Sequence[nn.Linear]]:
        """Yields the linear steps, in order. The modules of a step read the same inputs."""
        yield from (self.attention, [self.output], [self.up], [self.down])


@dataclass(frozen=True)
class Scale:
    """How a linear step reads its inputs."""

    #: (I) the inputs are divided by these factors, and the weights are multiplied by them.
    factors: Floats
    #: Of the divided inputs: real value = scale * (byte - zero).
    scale: np.float32
    zero: int


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


def quantised(layers: Sequence[Modules], scales: Sequence[Scale]) -> list[Layer]:
    """Returns the layers in int8. `scales`: one for each step of all layers, in order.

    Raises `ValueError` when the scales are not those of such layers.
    """
    steps = [step for layer in layers for step in layer.steps()]
    linears = [_linear(parts, scale) for parts, scale in zip(steps, scales, strict=True)]
    return [
        Layer(attention, output, _norm(layer.attention_norm), up, down, _norm(layer.norm))
        for layer, (attention, output, up, down) in zip(layers, _fours(linears), strict=True)
    ]


def _fours(linears: Sequence[Linear]) -> Iterator[Sequence[Linear]]:
    return (linears[start : start + STEPS] for start in range(0, len(linears), STEPS))


def _linear(parts: Sequence[nn.Linear], scale: Scale) -> Linear:
    """Quantises linear layers that read the same inputs, as one."""
    weight = np.concatenate([_array(part.weight) for part in parts])  # (O, I)
    if scale.factors.shape != weight.shape[1:]:
        raise ValueError(f"{len(scale.factors)} factors for {weight.shape[1]} inputs")
    smoothed = weight * scale.factors
    weight_scale = np.maximum(np.abs(smoothed).max(1) / np.float32(LARGEST_WEIGHT), LEAST_WEIGHT_SCALE)  # (O)
    as_bytes = np.rint(smoothed / weight_scale[:, None]).astype(np.int8)
    return Linear(
        smoothing=np.float32(1) / scale.factors,
        scale=scale.scale,
        zero=scale.zero,
        weight=np.ascontiguousarray(as_bytes.T),
        weight_scale=weight_scale,
        bias=np.concatenate([_array(part.bias) for part in parts]),
    )


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(_array(norm.weight), _array(norm.bias))


def _array(values: Tensor) -> Floats:
    array: Floats = values.detach().float().numpy()
    return array


def digest(layers: Sequence[Layer]) -> bytes:
    """Returns the SHA-256 of all numbers of the layers."""
    hashed = hashlib.sha256()
    for layer in layers:
        for part in vars(layer).values():
            for value in vars(part).values():
                hashed.update(np.ascontiguousarray(value).data)
    return hashed.digest()


def dump(layers: Sequence[Modules], scales: Sequence[Scale]) -> bytes:
    """Returns the content of the scales' file."""
    tensors = {f"{FACTORS}{number}": scale.factors for number, scale in enumerate(scales)}
    content: bytes = save(
        {
            **tensors,
            SCALE: np.array([scale.scale for scale in scales], np.float32),
            ZERO: np.array([scale.zero for scale in scales], np.uint8),
            DIGEST: np.frombuffer(digest(quantised(layers, scales)), np.uint8),
        }
    )
    return content


def int8_layers(network: Tagger, content: bytes) -> list[Layer]:
    """Returns the encoder's layers in int8. `content` is that of the scales' file.

    Raises `ValueError` when the content is broken, or belongs to other weights. Raises `UserError` as `modules` does.
    """
    try:
        tensors = load_tensors(content)
        values = zip(tensors[SCALE], tensors[ZERO].tolist(), strict=True)
        scales = [Scale(tensors[f"{FACTORS}{number}"], *each) for number, each in enumerate(values)]
        stored = tensors[DIGEST].tobytes()
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"it is broken: {first_line(error)}") from None
    made = quantised(modules(network), scales)
    if digest(made) != stored:
        raise ValueError("the encoder has other weights than those that were quantised")
    return made


def build(network: Tagger, content: bytes, threads: int) -> Int8Layers:
    """Does what `int8_layers` does, and loads the layers into the runtime."""
    config = network.config
    return Int8Layers(write(int8_layers(network, content), config.num_attention_heads, config.layer_norm_eps), threads)


def load(network: Tagger, folder: Path, sha256: str, threads: int) -> Int8Layers:
    """Loads the int8 layers of a checkpoint, whose weights the network has.

    Raises `UserError` when the file of the scales is missing, changed, broken, or made for other weights.
    """
    path = folder / INT8_SCALES
    content = read_checked(path, sha256)
    try:
        return build(network, content, threads)
    except ValueError as error:
        raise UserError(f"{path} cannot be used: {error}; quantise the checkpoint again") from None


def read_checked(path: Path, sha256: str) -> bytes:
    """Returns the content of a file of the int8 runtime. Raises `UserError` when it is missing or changed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; quantise the checkpoint again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path} is not the file that the checkpoint was quantised to; quantise it again")
    return content
