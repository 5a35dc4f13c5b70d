"""The terms of a source: whether it may train, whether its text may be shown, and how long a deletion may take.

`config/sources.yaml` lists the sources. docs/terms.md says which commands obey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from core.errors import UserError
from core.events import Value, explain
from core.reading import MAX_SOURCE
from core.yaml_text import read_yaml

UNKNOWN = "unknown"
"""The source of posts that name none, and the name of the terms of sources that are not listed."""


def _yes_or_no(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _hours(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 24 * 366 * 10:
        raise ValueError("must be a number of hours, above 0 and at most ten years, such as 24")
    return value


YesOrNo = Annotated[bool, BeforeValidator(_yes_or_no)]


class Terms(Value):
    """The terms of one source."""

    model_config = ConfigDict(extra="ignore")  # `_has_known_fields` refuses them, and says which are known

    may_train: YesOrNo
    #: Whether reviewers may see the text, and exports may hold it.
    may_show_text: YesOrNo
    #: Longest time, in hours, from the platform's word until nothing of a deleted post is left.
    delete_within_hours: Annotated[float, BeforeValidator(_hours)]

    @model_validator(mode="before")
    @classmethod
    def _has_known_fields(cls, fields: Any) -> Any:
        known = ", ".join(cls.model_fields)
        if not isinstance(fields, Mapping):
            raise ValueError(f"needs the fields {known}")
        if unknown := [str(name) for name in fields if name not in cls.model_fields]:
            raise ValueError(f"has the unknown field {unknown[0]!r}; the fields are {known}")
        return fields


#: What holds for a source of which nothing is known.
CAUTIOUS = Terms(may_train=False, may_show_text=True, delete_within_hours=24)

SourceName = Annotated[str, Field(min_length=1, max_length=MAX_SOURCE, strict=True)]
_LISTED = TypeAdapter(dict[SourceName, Terms])


@dataclass(frozen=True)
class Sources:
    """The terms of all sources, by the name of the source."""

    listed: Mapping[str, Terms] = field(default_factory=dict)

    def of(self, source: str) -> Terms:
        """Returns the terms listed for the source, for the part before its first colon, or for `unknown`."""
        return self.listed.get(self.name_of(source), CAUTIOUS)

    def name_of(self, source: str) -> str:
        """Returns the name under which the terms of a source are listed, or `unknown`."""
        return next((name for name in (source, source.partition(":")[0]) if name in self.listed), UNKNOWN)


UNLISTED = Sources()
"""No source is listed: the terms of an unknown one hold for all."""


def read_sources(path: Path) -> Sources:
    """Reads the terms of the sources. Raises `UserError` naming file, source, field, value and remedy."""
    values = read_yaml(path)
    if not isinstance(values, dict) or not values:
        raise UserError(f"{path}: must list sources, each with the fields {', '.join(Terms.model_fields)}")
    for name in values:
        if not isinstance(name, str):  # YAML reads `on`, `no` and 7 as other things than text
            raise UserError(f"{path}: the name of a source must be text (got {name!r}); put it in quotation marks")
    try:
        return Sources(_LISTED.validate_python(values))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from None
