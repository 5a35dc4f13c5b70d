"""The JSON that commands print for scripts."""

from __future__ import annotations

import re
import sys
from json import dumps
from typing import Any

UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON allows unescaped (RFC 8259, section 7) but that a terminal acts on, or cannot encode.
These are DEL, the C1 controls, the direction marks, the line and paragraph separators, and the surrogates."""


def escaped_json(value: Any, indent: int | None = None) -> str:
    """Returns JSON that is safe to print: every character of `UNPRINTABLE` is escaped, and none is lost.

    If standard output is not in UTF-8, all characters beyond ASCII are escaped.
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    text = dumps(value, ensure_ascii=not encoding.startswith("utf"), indent=indent)
    return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_json(value: Any) -> None:
    """Prints one indented document."""
    print(escaped_json(value, indent=2))
