"""What a person says about names: that two names are one, or that a spelling is another name.

A correction is a statement about names, typed by a person. It is no part of a post: it holds no id and no text of one.
So erasing a post leaves it. It stays until somebody takes it back.
"""

from __future__ import annotations

import json
import operator
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, field_validator, model_validator

from core.events import Value
from core.json_text import SURROGATE
from core.spelling import fold, normalise

MAX_NAME = 256
"""Longest name, in characters, that a correction may hold."""

Typed = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]


class _Correction(Value):
    by: str = Field(min_length=1, max_length=128)  # who says so
    at: AwareDatetime  # of two corrections with the same `key`, the later one wins
    #: Whether the person takes the correction back.
    withdrawn: bool = Field(default=False, exclude_if=operator.not_)

    @field_validator("name", "of", "surface", check_fields=False)
    @classmethod
    def _can_be_seen(cls, name: str) -> str:
        if SURROGATE.search(name) or "\0" in name or not fold(name)[0].strip():
            raise ValueError("must be text that can be seen")
        return name


class SameName(_Correction):
    """Says that two names are one, as in `NASA` and `National Aeronautics and Space Administration`."""

    kind: Literal["same"] = "same"
    name: Typed
    of: Typed  # the name under which both are listed

    @property
    def key(self) -> str:
        """The key in the topic. It is the same whichever name comes first, and for all spellings of both."""
        return "name/same/" + json.dumps(sorted([normalise(self.name), normalise(self.of)]), ensure_ascii=False)

    @model_validator(mode="after")
    def _are_two(self) -> Self:
        if normalise(self.name) == normalise(self.of):
            raise ValueError(f"{self.name!r} and {self.of!r} are one name already")
        return self


class SplitName(_Correction):
    """Says that one spelling of a name is another name: `US` is the country, and `us` is a pronoun.

    Only mentions with exactly this spelling get the other name.
    """

    kind: Literal["split"] = "split"
    surface: Typed  # as it stands in posts
    name: Typed  # a name of its own, such as `US (country)`, or another name that posts mention

    @property
    def key(self) -> str:
        """The key in the topic."""
        return "name/split/" + json.dumps(self.surface, ensure_ascii=False)

    @model_validator(mode="after")
    def _is_another(self) -> Self:
        if normalise(self.surface) == normalise(self.name):
            raise ValueError(f"{self.surface!r} and {self.name!r} are one name: give the spelling a name of its own")
        return self


Correction = Annotated[SameName | SplitName, Field(discriminator="kind")]
CORRECTION: TypeAdapter[SameName | SplitName] = TypeAdapter(Correction)
"""Reads a correction from JSON."""

PREFIX = "name/"
"""How the keys of all corrections begin. Other prefixes of the topic are for other values."""
