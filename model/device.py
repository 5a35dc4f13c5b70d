"""Chooses the torch device."""

from __future__ import annotations

import torch

from core.errors import UserError


def torch_device(name: str) -> str:
    """Returns cpu or cuda. For auto, returns cuda if torch sees a GPU.

    Raises `UserError` when cuda is asked for and torch sees no GPU.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise UserError("the device is cuda, but torch sees no GPU; choose auto or cpu")
    return ("cuda" if has_gpu else "cpu") if name == "auto" else name
