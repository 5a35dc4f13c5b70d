"""Bytes into a validated value. What does not validate is that event's dead letter, with field, value and mend."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from core.errors import Reject
from core.events import explain
from streams.pipeline.stage import I, Stage


class Decode(Stage[I]):
    """`value` is the type that this topic carries. `erasable`: a record without a value is what an erased tweet leaves
    in a compacted topic, and asks for nothing."""

    name = "decode"

    def __init__(self, value: type[BaseModel], *, erasable: bool = False) -> None:
        self._erasable = erasable
        self._value = value

    async def process(self, item: I) -> None:
        if item.origin.value is None and self._erasable:
            item.void = True
            return
        if item.origin.value is None:
            raise Reject(f"event: has no value; wanted a JSON {self._value.__name__}")
        try:
            item.parsed = self._value.model_validate_json(item.origin.value)
        except ValidationError as error:
            raise Reject(explain(error)) from None
