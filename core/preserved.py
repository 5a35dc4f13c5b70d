"""Keeps an event's bytes in a dead letter."""

from __future__ import annotations

import base64
import json
from typing import Any

MAX_REASON = 2000
"""Longest reason and key of a dead letter, in characters."""

MAX_VALUE = 5_000_000
"""Largest part of an event, in bytes, that a dead letter keeps. As base64, it fits the topic's limit of 8 MB."""


def preserved(value: bytes | None) -> dict[str, Any]:
    """Returns the fields of a dead letter that keep the original bytes.

    The bytes are kept as text if they are UTF-8 and not much longer in JSON, else as base64.
    """
    if value is None:
        return {"value": None}
    try:
        text = value.decode()
        if len(json.dumps(text, ensure_ascii=False)) <= 4 * len(value) / 3 + 64:
            return {"value": text} if len(value) <= MAX_VALUE else _encoded(value)
    except UnicodeDecodeError:
        pass
    return _encoded(value)


def _encoded(value: bytes) -> dict[str, Any]:
    kept = value[:MAX_VALUE]
    return {"value": base64.b64encode(kept).decode(), "encoding": "base64", "omitted": len(value) - len(kept)}
