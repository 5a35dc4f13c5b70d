"""Reads JSON that pydantic's parser refuses, though each of its readers could go on.

Such JSON has half a surrogate pair, bytes that are not UTF-8, a very long number or very deep nesting.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 64
"""Deeper lists and objects are read as null. Python's own parser fails at a depth that depends on its caller."""
MAX_DIGITS = 4000
"""Longer whole numbers are read as text. Python refuses to convert more than 4300 digits."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair, which UTF-8 cannot express. A byte that is not UTF-8 is read as one."""

TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def read_json(data: str | bytes | bytearray) -> Any:
    """Returns the value. Of an object's repeated keys, the last one counts. Raises `ValueError` for broken JSON."""
    text = data if isinstance(data, str) else data.decode("utf-8-sig", "surrogateescape")
    return json.loads(_flat(text.removeprefix("\ufeff")), parse_int=_whole_number)


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


def _flat(text: str) -> str:
    """Returns the text with null in place of every list and object that is nested too deep."""
    parts, depth, start = [], 0, 0
    for token in TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                parts.append(text[start : token.start()])
                start = len(text)
        elif token[0] in "]}":
            if depth == MAX_DEPTH + 1:
                parts.append("null")
                start = token.end()
            depth -= 1
    return "".join([*parts, text[start:]])
