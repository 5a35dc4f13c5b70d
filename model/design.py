"""What the network is made of. Each part can be off, so that its worth can be measured. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.events import ENTITY_TYPES, Value

View = Literal["text", "text+context", "image"]
TEXT: View = "text"
CONTEXT: View = "text+context"
IMAGE: View = "image"

LABELS = ("O", *(f"{prefix}-{entity_type}" for entity_type in ENTITY_TYPES for prefix in "BI"))

BATCH_TOKENS = 4096
"""Padded tokens in a batch of posts to tag: its longest post times its posts."""


class Design(Value):
    """`views`: what gives evidence: the text, the text with its visual context behind it, and dense image features that
    the words attend to; any subset with at least one.

    `emission`: what of a belief goes into the chain: `student`, the log-odds of its predictive density, or `location`,
    its gamma. `evidence` off: every view gives plain scores, averaged. `chain` off: words are independent but for BIO.
    `discount`: the context's evidence counts by how likely the context is the tweet's own.
    `adapt`: how the encoder is trained: all of it, by low-rank adapters of `rank` (LoRA: Hu et al., ICLR 2022), or not.
    `image_width`: of the image features; 0 where no view reads them.
    """

    views: tuple[View, ...] = (TEXT, CONTEXT)
    emission: Literal["student", "location"] = "student"
    evidence: bool = True
    chain: bool = True
    casing: bool = True
    discount: bool = False
    adapt: Literal["full", "lora", "frozen"] = "full"
    rank: int = Field(16, ge=1)
    image_width: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Design:
        if not self.views or len(set(self.views)) < len(self.views):
            raise ValueError(f"views: wanted one or more different ones of {TEXT}, {CONTEXT}, {IMAGE}")
        if self.discount and not (self.evidence and CONTEXT in self.views):
            raise ValueError(f"discount: wanted a view {CONTEXT} and evidence, whose nu it is about")
        if (IMAGE in self.views) != (self.image_width > 0):
            raise ValueError(
                "image_width: wanted the width of the image features where, and only where, a view reads them"
            )
        return self


TWO_VIEWS = Design()
"""Text, and text with context."""
