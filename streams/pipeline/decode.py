"""Bytes into a validated value. What does not validate is that event's dead letter, with field, value and mend."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from streams.errors import Reject
from streams.events import explain
from streams.pipeline.stage import I, Stage


class Decode(Stage[I]):
    """`value` is the type that this topic carries."""

    name = "decode"

    def __init__(self, value: type[BaseModel]) -> None:
        self._value = value

    async def process(self, item: I) -> None:
        if item.origin.value is None:
            raise Reject(f"event: has no value; wanted a JSON {self._value.__name__}")
        try:
            item.parsed = self._value.model_validate_json(item.origin.value)
        except ValidationError as error:
            raise Reject(explain(error)) from None
