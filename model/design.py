"""The design of a network. Each part can be switched off, so that its contribution can be measured.

Imports no torch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.events import ENTITY_TYPES, Runtime, Value

View = Literal["text", "text+context", "image"]
TEXT: View = "text"
CONTEXT: View = "text+context"
IMAGE: View = "image"

RuntimeChoice = Literal["auto", Runtime]

LABELS = ("O", *(f"{prefix}-{entity_type}" for entity_type in ENTITY_TYPES for prefix in "BI"))

BATCH_TOKENS = 4096
"""Largest number of padded tokens in a batch to tag: length of its longest post times number of posts."""


class Design(Value):
    """The parts of a network."""

    #: Sources of evidence: the text, the text followed by its visual context, image features that the words attend to.
    views: tuple[View, ...] = (TEXT, CONTEXT)
    #: Emissions of the chain: `student` takes the log-odds of the predictive density, `location` takes gamma.
    emission: Literal["student", "location"] = "student"
    #: Without evidence, views give plain scores, and fusion averages them.
    evidence: bool = True
    #: Without the chain, words are independent apart from the rules of BIO.
    chain: bool = True
    #: Whether the encoder also reads the casing of the words.
    casing: bool = True
    #: Whether the context's evidence is weighed by the probability that the context belongs to the post.
    discount: bool = False
    #: How the encoder is trained: all weights, low-rank adapters (LoRA: Hu et al., ICLR 2022), or not at all.
    adapt: Literal["full", "lora", "frozen"] = "full"
    #: Rank of the adapters.
    rank: int = Field(16, ge=1)
    #: Width of the image features; 0 if no view reads them.
    image_width: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Design:
        if not self.views or len(set(self.views)) < len(self.views):
            raise ValueError(f"views: choose one or more of {TEXT}, {CONTEXT}, {IMAGE}, each at most once")
        if self.discount and not (self.evidence and CONTEXT in self.views):
            raise ValueError(f"discount: needs evidence and the view {CONTEXT}; switch both on, or discount off")
        if (IMAGE in self.views) != (self.image_width > 0):
            raise ValueError(f"image_width: set it above 0 with the view {IMAGE}, and to 0 without")
        return self


TWO_VIEWS = Design()
"""Text, and text with context."""
