"""The layers of an encoder in int8, for CPUs. ONNX Runtime runs them.

The quantisation is static: each scale was chosen once, on training posts. Sequences are read together only with others
of about the same length, and are padded to a length that depends on nothing else. So a post has the same states alone
and in a batch.

Shapes: N sequences, S positions, H hidden size, A attention heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnxruntime
import torch
from torch import Tensor

MULTIPLE = 8
"""Sequences are padded to a multiple of this length."""
READ_TOKENS = 512
"""Largest number of padded tokens that are read at once, unless one sequence is longer."""
MASKED_SCORE = -1e9
"""Added to the attention scores of the padding."""


def padded(length: int) -> int:
    """Returns the length that a sequence is padded to."""
    return -(-length // MULTIPLE) * MULTIPLE


def groups(lengths: Sequence[int], most: int = READ_TOKENS) -> Iterator[list[int]]:
    """Yields the indices of sequences to read together. All have the same `padded` length."""
    of_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        of_length.setdefault(padded(length), []).append(index)
    for length, indices in sorted(of_length.items()):
        size = max(1, most // max(1, length))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


class Int8Layers:
    """The quantised layers of one checkpoint. Thread-safe."""

    def __init__(self, model: bytes, threads: int) -> None:
        """`model`: what `int8_graph.write` returns."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # the graph is written as it runs fastest; SkipLayerNormalization would make it slower
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, hidden: Tensor, mask: Tensor, position_bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the last layer's states and the inner states (N, S, H), as `Tagger.encode` does.

        `hidden` (N, S, H): the embeddings. `mask` (N, S): 1 for tokens, 0 for padding. `position_bias` (1, A, S, S):
        what some encoders add to all attention scores.
        """
        bias = ((1 - mask) * MASKED_SCORE)[:, None, None, :].to(hidden.dtype)  # (N, 1, 1, S)
        if position_bias is not None:
            bias = bias + position_bias  # (N, A, S, S)
        last, inner = self._session.run(None, {"hidden": hidden.numpy(), "bias": bias.numpy()})
        return torch.from_numpy(last), torch.from_numpy(inner)
