"""Low-rank adapters (LoRA: Hu et al., ICLR 2022): beside a frozen weight W (out, in), B (out, rank) and A (rank, in).

Training adds them by `peft`; a network that predicts has them added into its weights, W + 2 B A, and needs no `peft`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.errors import UserError

SCALE = 2
DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"


def add(encoder: nn.Module, rank: int) -> None:
    """One in every linear layer of the encoder but its pooler, which no tagger reads; all else is frozen. Raises
    `UserError` where there is none."""
    from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if "pooler" not in name]
    if not targets:
        raise UserError("--adapt lora: the encoder has no linear layers to adapt; choose full or frozen")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=targets), encoder)


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the same network without adapters; where there are none, the same."""
    result = {name.replace(".base_layer.", "."): value for name, value in weights.items() if ".lora_" not in name}
    for name, down in weights.items():
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            up = weights[layer + UP]
            result[f"{layer}.weight"] = result[f"{layer}.weight"] + SCALE * (up.float() @ down.float())
    return result


def added(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What training added to the pretrained encoder: the adapters, and all that stands outside of it."""
    return {name: value for name, value in weights.items() if ".lora_" in name or not name.startswith("encoder.")}


def starting(fresh: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network to begin with, `fresh` but for what one without adapters, `trained`, has learned.

    Where `fresh` has adapters, they begin as the best approximation of their rank to what training added to the layer:
    the truncated singular value decomposition of the difference (Eckart & Young, 1936), half of it in each factor.
    """
    result = {name: trained.get(name, value) for name, value in fresh.items()}
    if not any(name.endswith(DOWN) for name in fresh):
        return result
    result |= {name: value for name, value in fresh.items() if name.startswith("encoder.")}
    for name in fresh:
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            rank = len(fresh[name])
            difference = trained[f"{layer}.weight"].float() - fresh[f"{layer}.base_layer.weight"]
            left, sizes, right = torch.linalg.svd(difference / SCALE, full_matrices=False)
            roots = sizes[:rank].sqrt()
            result[layer + UP], result[name] = left[:, :rank] * roots, roots.unsqueeze(1) * right[:rank]
    return result
