"""Low-rank adapters (LoRA: Hu et al., ICLR 2022): beside a frozen weight W (out, in), B (out, rank) and A (rank, in).

Training adds them by `peft`; a network that predicts has them added into its weights, W + 2 B A, and needs no `peft`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

SCALE = 2
DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"


def add(encoder: nn.Module, rank: int) -> None:
    """One in every linear layer of the encoder but its pooler, which no tagger reads; all else is frozen."""
    from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if "pooler" not in name]
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
