"""What commands print for scripts."""

from __future__ import annotations

import re
from json import dumps
from typing import Any

UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON lets stand (RFC 8259, section 7) and a terminal would act on: DEL, C1, direction marks; and surrogates."""


def escaped_json(value: Any, indent: int | None = None) -> str:
    """Readable also where it holds what strangers wrote: no control character gets through, and none is lost."""
    text = dumps(value, ensure_ascii=False, indent=indent)
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Any) -> None:
    """One document, indented."""
    print(escaped_json(value, indent=2))
