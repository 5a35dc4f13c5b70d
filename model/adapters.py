"""Low-rank adapters (LoRA: Hu et al., ICLR 2022): B (out, rank) and A (rank, in) beside a frozen weight W (out, in).

Training adds them with `peft`. For prediction they are merged into the weights, W + 2 B A, and `peft` is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.errors import UserError

SCALE = 2
DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"


def add(encoder: nn.Module, rank: int) -> None:
    """Adds an adapter to each linear layer of the encoder and freezes the rest. The pooler is unused and gets none.

    Raises `UserError` when there is no linear layer.
    """
    from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if "pooler" not in name]
    if not targets:
        raise UserError("the encoder has no linear layers to adapt; train it in full, or freeze it")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=targets), encoder)


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights of the same network without adapters.

    Adapters that were stored in fp16 give the same weights, to the last bit, on every machine. Each product of two such
    numbers is a multiple of 2^-48, so sums below 32 are exact in fp64 in any order.
    """
    result = {name.replace(".base_layer.", "."): value for name, value in weights.items() if ".lora_" not in name}
    for name, down in weights.items():
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            up = weights[layer + UP]
            result[f"{layer}.weight"] = result[f"{layer}.weight"] + SCALE * (up.double() @ down.double()).float()
    return result


def added(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights that training added to the pretrained encoder: the adapters, and all outside the encoder."""
    return {name: value for name, value in weights.items() if ".lora_" in name or not name.startswith("encoder.")}


def starting(fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights of the network `fresh` with the values that `trained` has learned, to continue training.

    `trained` has no adapters. If `fresh` has adapters, each adapter approximates, as well as its rank allows, the
    trained minus the pretrained weight of its layer. This is a truncated singular value decomposition (Eckart & Young,
    1936). Each of the two factors gets the square roots of the singular values.
    """
    adapted = [name.removesuffix(DOWN) for name in fresh if name.endswith(DOWN)]
    result = {
        name: value if adapted and name.startswith("encoder.") else trained.get(name, value)
        for name, value in fresh.items()
    }
    for layer in adapted:
        rank = len(fresh[layer + DOWN])
        difference = trained[f"{layer}.weight"].float() - fresh[f"{layer}.base_layer.weight"]
        left, sizes, right = torch.linalg.svd(difference / SCALE, full_matrices=False)
        roots = sizes[:rank].sqrt()
        result[layer + UP], result[layer + DOWN] = left[:, :rank] * roots, roots.unsqueeze(1) * right[:rank]
    return result
