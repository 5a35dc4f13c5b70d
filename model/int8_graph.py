"""Writes the quantised layers of an encoder as an ONNX graph, in the operators that ONNX Runtime runs fastest.

Each linear layer reads unsigned bytes with one scale, and has signed weights with a scale for each output.

Shapes: I inputs and O outputs of a linear layer, N sequences, S positions, H hidden size, A attention heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
OURS = "com.microsoft"
"""Domain of the operators that only ONNX Runtime has."""
OPSET, IR_VERSION = 17, 8


@dataclass(frozen=True)
class Linear:
    """A quantised linear layer."""

    #: (I) the inputs are multiplied by it, so that all have about the same range.
    smoothing: Floats
    #: Of the smoothed inputs: real value = scale * (byte - zero).
    scale: np.float32
    zero: int
    #: (I, O) weights as bytes, and the scale (O) of each output.
    weight: NDArray[np.int8]
    weight_scale: Floats
    #: (O)
    bias: Floats


@dataclass(frozen=True)
class Norm:
    """Layer normalisation: weight and bias (H)."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Layer:
    """One layer of a transformer. `attention` gives queries, keys and values, in this order (O = 3 H)."""

    attention: Linear
    output: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm


class _Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], *outputs: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), outputs[0], domain=domain, **attributes))
        return outputs[0]

    def linear(self, name: str, source: str, linear: Linear) -> str:
        smooth = self.node("Mul", [source, self.constant(f"{name}.smoothing", linear.smoothing)], f"{name}.smooth")
        scale = self.constant(f"{name}.scale", linear.scale)
        zero = self.constant(f"{name}.zero", np.uint8(linear.zero))
        read = self.node("QuantizeLinear", [smooth, scale, zero], f"{name}.bytes")
        weight = self.constant(f"{name}.weight", linear.weight)
        weight_scale = self.constant(f"{name}.weight_scale", linear.weight_scale)
        bias = self.constant(f"{name}.bias", linear.bias)
        inputs = [read, weight, scale, weight_scale, zero, "", bias]
        return self.node("MatMulIntegerToFloat", inputs, f"{name}.linear", domain=OURS)

    def norm(self, name: str, source: str, norm: Norm, epsilon: float) -> str:
        weight, bias = self.constant(f"{name}.weight", norm.weight), self.constant(f"{name}.bias", norm.bias)
        return self.node("LayerNormalization", [source, weight, bias], f"{name}.normed", axis=-1, epsilon=epsilon)

    def layer(self, name: str, source: str, layer: Layer, heads: int, epsilon: float) -> str:
        """(N, S, H) to (N, S, H)."""
        width = len(layer.norm.weight)
        projected = self.linear(f"{name}.attention", source, layer.attention)
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        self.node("Split", [projected, self.constant(f"{name}.sizes", np.full(3, width))], *parts, axis=-1)
        split = self.constant(f"{name}.heads", np.array([0, 0, heads, width // heads]))
        query, key, value = (
            self.node(
                "Transpose", [self.node("Reshape", [part, split], f"{part}.split")], f"{part}.heads", perm=[0, 2, 1, 3]
            )
            for part in parts
        )
        alpha = (width // heads) ** -0.5
        scores = self.node("FusedMatMul", [query, key], f"{name}.scores", domain=OURS, transB=1, alpha=alpha)
        biased = self.node("Add", [scores, "bias"], f"{name}.biased")
        attended = self.node(
            "MatMul", [self.node("Softmax", [biased], f"{name}.shares", axis=-1), value], f"{name}.own"
        )
        turned = self.node("Transpose", [attended], f"{name}.turned", perm=[0, 2, 1, 3])
        joined = self.node(
            "Reshape", [turned, self.constant(f"{name}.join", np.array([0, 0, width]))], f"{name}.joined"
        )
        output = self.linear(f"{name}.output", joined, layer.output)
        middle = self.norm(
            f"{name}.attention_norm", self.node("Add", [output, source], f"{name}.first"), layer.attention_norm, epsilon
        )
        up = self.node("Gelu", [self.linear(f"{name}.up", middle, layer.up)], f"{name}.gelu", domain=OURS)
        down = self.linear(f"{name}.down", up, layer.down)
        return self.norm(f"{name}.norm", self.node("Add", [down, middle], f"{name}.second"), layer.norm, epsilon)


def write(layers: Sequence[Layer], heads: int, epsilon: float) -> bytes:
    """Returns the ONNX model.

    Inputs: `hidden` (N, S, H), the embeddings, and `bias` (N, 1 or A, 1 or S, S), which is added to the attention
    scores. Outputs: `last` and `inner` (N, S, H), as in `Tagger.encode`.
    """
    graph, states = _Graph(), ["hidden"]
    for number, layer in enumerate(layers):
        states.append(graph.layer(f"layer{number}", states[-1], layer, heads, epsilon))
    graph.node("Identity", [states[-1]], "last")
    graph.node("Add", [states[len(states) // 3], states[len(states) // 2]], "inner")
    width = len(layers[0].norm.weight)
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "S", width])
        for name in ("hidden", "last", "inner")
    }
    bias = helper.make_tensor_value_info("bias", TensorProto.FLOAT, ["N", "heads", "rows", "S"])
    made = helper.make_graph(
        graph.nodes, "layers", [values["hidden"], bias], [values["last"], values["inner"]], graph.constants
    )
    versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(OURS, 1)]
    model = helper.make_model(made, opset_imports=versions, ir_version=IR_VERSION, producer_name="mner")
    content: bytes = model.SerializeToString()
    return content
